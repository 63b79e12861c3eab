package onnximport

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"scission/engine/tensor"
	. "scission/onnximport/internal/pbtest"
)

// externalModel is x + w, with the two elements of w in another file. entries
// are keys and values.
func externalModel(entries ...string) []byte {
	var x []byte
	for i := 0; i < len(entries); i += 2 {
		x = append(x, Sub(13, Bytes(1, entries[i]), Bytes(2, entries[i+1]))...)
	}
	return model(node("Add", "n", names("x", "w"), names("y")), initializer("w", tensor.Float32, []int64{2}, x, Int(14, 1)),
		input("x", tensor.Float32, 2), output("y"))
}

// twoFloats are 1 and -2.5.
const twoFloats = "\x00\x00\x80\x3f\x00\x00\x20\xc0"

// write makes a file and the folders it lies in.
func write(t *testing.T, data string, path ...string) string {
	t.Helper()
	name := filepath.Join(path...)
	err := os.MkdirAll(filepath.Dir(name), 0o700)
	if err == nil {
		err = os.WriteFile(name, []byte(data), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestExternalDataIsRead(t *testing.T) {
	dir := t.TempDir()
	write(t, twoFloats, dir, "w.bin")
	write(t, "123456"+twoFloats+"end", dir, "sub", "w.bin")
	for _, c := range [][]string{
		{"location", "w.bin"}, {"location", "w.bin", "length", "8"}, {"location", "./w.bin", "offset", "0", "checksum", "ignored"},
		{"location", "sub/w.bin", "offset", "6", "length", "8"}, {"location", "sub/w.bin", "offset", "6"},
	} {
		path := write(t, string(externalModel(c...)), dir, "model.onnx")
		m, err := Open(path, Options{})
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		g, err := m.Graph(nil)
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		want := tensor.Of([]float32{1, -2.5}, 2)
		if w := g.Nodes[0].In[1].Const; !w.Identical(want) {
			t.Errorf("%v: got %v, want %v", c, w, want)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		g, err = LoadFile(path)
		if err != nil || !g.Nodes[0].In[1].Const.Identical(want) {
			t.Errorf("%v: LoadFile gave %v, %v", c, g, err)
		}
	}
}

func TestExternalDataNeedsAFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, twoFloats, dir, "w.bin")
	data := externalModel("location", "w.bin")
	if _, err := Load(data); err == nil || !strings.Contains(err.Error(), `"w"`) || !strings.Contains(err.Error(), `"w.bin"`) {
		t.Errorf("got %v, want an error that names the tensor and the file", err)
	}
	if _, err := Open(write(t, string(data), dir, "model.onnx"), Options{Alone: true}); err == nil || !strings.Contains(err.Error(), `"w.bin"`) {
		t.Errorf("alone in its folder: got %v, want an error that names the file", err)
	}
	m, err := Parse(data, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Graph(nil); err != nil {
		t.Error(err)
	}
}

func TestDigestCoversExternalData(t *testing.T) {
	dir := t.TempDir()
	write(t, twoFloats, dir, "w.bin")
	data := externalModel("location", "w.bin")
	m, err := Open(write(t, string(data), dir, "model.onnx"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	file, name, contents := sha256.Sum256(data), sha256.Sum256([]byte("w.bin")), sha256.Sum256([]byte(twoFloats))
	if want := sha256.Sum256(append(append(file[:], name[:]...), contents[:]...)); m.Digest() != want {
		t.Errorf("got %x, want %x", m.Digest(), want)
	}
}

func TestExternalDataIsConfined(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "model")
	secret := write(t, twoFloats, top, "secret.bin")
	write(t, twoFloats, top, "outside", "w.bin")
	write(t, twoFloats, dir, "w.bin")
	write(t, twoFloats, dir, "a", "w.bin")
	for link, target := range map[string]string{
		"link.bin": "../secret.bin", "absolute.bin": secret, "folder": "../outside", "zero.bin": "/dev/zero", "up": "..", "loop.bin": "loop.bin",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Skipf("no symbolic links here: %v", err)
		}
	}
	cases := [][]string{
		{"location", ".."}, {"location", "../secret.bin"}, {"location", "a/../../secret.bin"}, {"location", "a/../w.bin"}, {"location", "a/.."},
		{"location", secret}, {"location", "/dev/zero"}, {"location", "link.bin"}, {"location", "absolute.bin"},
		{"location", "folder/w.bin"}, {"location", "up/secret.bin"}, {"location", "zero.bin"}, {"location", "loop.bin"},
		{"location", "a"}, {"location", "."}, {"location", ""}, {"location", "none.bin"}, {"location", "w.bin\x00"}, {},
		{"location", "w.bin", "offset", "1"}, {"location", "w.bin", "offset", "8"}, {"location", "w.bin", "offset", "9"},
		{"location", "w.bin", "offset", "9223372036854775807"}, {"location", "w.bin", "offset", "9223372036854775808"},
		{"location", "w.bin", "offset", "-1"}, {"location", "w.bin", "offset", "0x0"}, {"location", "w.bin", "offset", ""},
		{"location", "w.bin", "length", "7"}, {"location", "w.bin", "length", "9"}, {"location", "w.bin", "length", "-8"},
		{"location", "w.bin", "location", "w.bin"},
	}
	if err := os.Link(secret, filepath.Join(dir, "hard.bin")); err == nil && runtime.GOOS != "windows" {
		cases = append(cases, []string{"location", "hard.bin"})
	}
	if makeFIFO(filepath.Join(dir, "fifo.bin")) == nil {
		cases = append(cases, []string{"location", "fifo.bin"})
	}
	for _, c := range cases {
		path := write(t, string(externalModel(c...)), dir, "model.onnx")
		for _, load := range []func() error{
			func() error {
				m, err := Open(path, Options{})
				if err != nil {
					return err
				}
				_, err = m.Graph(nil)
				return errors.Join(err, m.Close())
			},
			func() error { _, err := LoadFile(path); return err },
		} {
			if err := load(); err == nil || !strings.Contains(err.Error(), `"w"`) {
				t.Errorf("%q: got %v, want an error that names the tensor", c, err)
			}
		}
	}
}

func TestReadExternalDataIsLimited(t *testing.T) {
	dir := t.TempDir()
	write(t, twoFloats, dir, "w.bin")
	path := write(t, string(externalModel("location", "w.bin")), dir, "model.onnx")
	for limit, ok := range map[int]bool{8: true, 7: false} {
		if _, err := open(path, Options{Limits: Limits{Constants: limit}}, readFile); (err == nil) != ok {
			t.Errorf("limit %d: got %v, want ok = %v", limit, err, ok)
		}
	}
}

// Data of nested graphs is confined as well, though they are not supported.
func TestExternalDataOfSubgraphsIsConfined(t *testing.T) {
	w := tensorOf("inner", tensor.Float32, []int64{2}, Sub(13, Bytes(1, "location"), Bytes(2, "../secret.bin")), Int(14, 1))
	data := model(node("If", "n", names("x"), names("y"), Msg(Bytes(1, "then_branch"), Sub(6, Bytes(5, w)), Int(20, 5))),
		input("x", tensor.Bool), output("y"))
	if _, err := Parse(data, Options{Dir: t.TempDir()}); !errors.Is(err, ErrFormat) || !strings.Contains(fmt.Sprint(err), `"inner"`) {
		t.Errorf("got %v, want ErrFormat with the tensor's name", err)
	}
}
