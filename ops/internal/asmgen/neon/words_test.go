package neon

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestWordsAreWhatTheGNUAssemblerMakes assembles the comment of every word in the generated files.
func TestWordsAreWhatTheGNUAssemblerMakes(t *testing.T) {
	const prefix = "aarch64-linux-gnu-"
	if _, err := exec.LookPath(prefix + "as"); err != nil {
		t.Skip("there is no GNU assembler for arm64: install binutils-aarch64-linux-gnu")
	}
	var files []string
	for _, pattern := range []string{"../../*/*_arm64.s", "../../../../transport/internal/*/*_arm64.s"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("found no generated files %s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	words := map[string]uint32{}
	line := regexp.MustCompile(`(?m)^\tWORD \$(0x[0-9a-f]{8}) // (.*)$`)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range line.FindAllSubmatch(text, -1) {
			w, err := strconv.ParseUint(string(m[1]), 0, 32)
			if err != nil {
				t.Fatal(err)
			}
			if old, ok := words[string(m[2])]; ok && old != uint32(w) {
				t.Errorf("%s is both %#08x and %#08x", m[2], old, w)
			}
			words[string(m[2])] = uint32(w)
		}
		if n := strings.Count(string(text), "WORD "); n != len(line.FindAll(text, -1)) {
			t.Errorf("%s has %d words, %d of them with an instruction as comment", name, n, len(line.FindAll(text, -1)))
		}
	}
	var list []string
	for text := range words {
		list = append(list, text)
	}
	dir := t.TempDir()
	source, object, code := filepath.Join(dir, "a.s"), filepath.Join(dir, "a.o"), filepath.Join(dir, "a.bin")
	if err := os.WriteFile(source, []byte(strings.Join(list, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"as", "-o", object, source}, {"objcopy", "-O", "binary", "-j", ".text", object, code}} {
		if out, err := exec.Command(prefix+args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args[0], err, out)
		}
	}
	b, err := os.ReadFile(code)
	if err != nil || len(b) != 4*len(list) {
		t.Fatalf("got %d bytes for %d instructions: %v", len(b), len(list), err)
	}
	for i, text := range list {
		if want := binary.LittleEndian.Uint32(b[4*i:]); words[text] != want {
			t.Errorf("%s is %#08x, want %#08x", text, words[text], want)
		}
	}
	t.Logf("%d different instructions in %d files", len(list), len(files))
}
