package npy

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"scission/engine/tensor"
)

// archive returns a ZIP file with the given members, by turns name and content.
func archive(t testing.TB, method uint16, members ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(members); i += 2 {
		w, err := z.CreateHeader(&zip.FileHeader{Name: members[i], Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, members[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openZip(b []byte) (*Zip, error) { return OpenZip(bytes.NewReader(b), int64(len(b))) }

// The files are of numpy.savez and numpy.savez_compressed (testdata/make.py).
func TestZipReadsWhatNumPyWrites(t *testing.T) {
	half := tensor.New(tensor.Float16, 2, 2)
	copy(tensor.View[uint16](half), []uint16{0x3c00, 0x4000, 0x4200, 0xb800}) // 1, 2, 3, -0.5
	for _, file := range []string{"stored.npz", "deflated.npz"} {
		b, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		z, err := openZip(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := z.Names(); !slices.Equal(got, []string{"ids", "mask", "half"}) {
			t.Errorf("%s: arrays %q", file, got)
		}
		for name, want := range map[string]*tensor.Tensor{
			"ids": tensor.Of([]int64{0, 1, 2, 3, 4, 5}, 2, 3), "mask": tensor.Of([]bool{true, false}, 2), "half": half,
		} {
			if got, err := z.Read(name, 48); err != nil || !got.Identical(want) {
				t.Errorf("%s: %s is %v, error %v, want %v", file, name, got, err, want)
			}
		}
		if _, err := z.Read("ids", 47); !errors.Is(err, tensor.ErrType) {
			t.Errorf("%s: 48 bytes with a limit of 47: error %v", file, err)
		}
		if _, err := z.Read("ids.npy", 48); err == nil || !strings.Contains(err.Error(), `no array "ids.npy", the file has ["ids" "mask" "half"]`) {
			t.Errorf("%s: error %v", file, err)
		}
	}
}

func TestZipRefuses(t *testing.T) {
	good := string(file(1, header1("|u1", "False", "(2,)"), "ab"))
	wrong := archive(t, zip.Store, "x.npy", good)
	wrong[bytes.Index(wrong, []byte("ab"))]++ // the checksum is that of before
	for name, b := range map[string][]byte{
		"nothing":        nil,
		"no archive":     []byte(good),
		"cut":            archive(t, zip.Store, "x.npy", good)[:60],
		"twice":          archive(t, zip.Store, "x.npy", good, "x.npy", good),
		"checksum":       wrong,
		"short member":   archive(t, zip.Deflate, "x.npy", good[:len(good)-1]),
		"long member":    archive(t, zip.Deflate, "x.npy", good+"c"),
		"no array in it": archive(t, zip.Deflate, "x.npy", "hello"),
	} {
		z, err := openZip(b)
		if err == nil {
			_, err = z.Read("x", 100)
		}
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	z, err := openZip(archive(t, zip.Store, "readme.txt", "hello"))
	if err != nil || len(z.Names()) != 0 {
		t.Errorf("an archive without arrays: %v, error %v", z, err)
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A gigabyte of zeros is a megabyte when deflated, and a directory of 30,000
// members is one, too.
func TestZipBombsAreRefusedBeforeTheyAreAllocated(t *testing.T) {
	const size = 1 << 30
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("x.npy")
	if err != nil {
		t.Fatal(err)
	}
	w.Write(file(1, header1("|u1", "False", fmt.Sprintf("(%d,)", size)), ""))
	zeros := make([]byte, 1<<20)
	for range 16 { // of what the header claims
		w.Write(zeros)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	n := allocated(func() {
		z, err := openZip(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := z.Read("x", size-1); !errors.Is(err, tensor.ErrType) {
			t.Errorf("beyond the limit: error %v", err)
		}
	})
	if n > 4<<20 {
		t.Errorf("beyond the limit: %d bytes are allocated", n)
	}
	n = allocated(func() {
		z, err := openZip(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := z.Read("x", size); !errors.Is(err, ErrFormat) {
			t.Errorf("less than is claimed: error %v", err)
		}
	})
	if n > 4*16<<20+8<<20 { // three times that at once
		t.Errorf("for 16 MiB: %d bytes are allocated", n)
	}

	many := archive(t, zip.Store, "x.npy", "")
	// The directory's entry again and again, and their number at the end.
	at, end := bytes.Index(many, []byte("PK\x01\x02")), bytes.Index(many, []byte("PK\x05\x06"))
	entry, tail := many[at:end], bytes.Clone(many[end:])
	members := maxDirectory/len(entry) + 1
	binary.LittleEndian.PutUint16(tail[8:], uint16(members))
	binary.LittleEndian.PutUint16(tail[10:], uint16(members))
	binary.LittleEndian.PutUint32(tail[12:], uint32(members*len(entry)))
	many = append(append(bytes.Clone(many[:at]), bytes.Repeat(entry, members)...), tail...)
	n = allocated(func() {
		if _, err := openZip(many); !errors.Is(err, errDirectory) {
			t.Errorf("%d members: error %v", members, err)
		}
	})
	if n > 16<<20 {
		t.Errorf("%d members: %d bytes are allocated", members, n)
	}
}

func FuzzZip(f *testing.F) {
	good := string(file(1, header1("|u1", "False", "(2,)"), "ab"))
	f.Add(archive(f, zip.Store, "x.npy", good, "y.npy", good, "z", "hello"))
	f.Add(archive(f, zip.Deflate, "x.npy", good))
	for _, name := range []string{"stored.npz", "deflated.npz"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	const limit = 1 << 16
	f.Fuzz(func(t *testing.T, b []byte) {
		z, err := openZip(b)
		if (z == nil) == (err == nil) {
			t.Fatalf("got %v and %v, want an archive or an error", z, err)
		}
		if err != nil {
			return
		}
		for _, name := range z.Names() {
			x, err := z.Read(name, limit)
			if (x == nil) == (err == nil) {
				t.Fatalf("got %v and %v, want a tensor or an error", x, err)
			}
			if err == nil && (len(x.Raw) != x.Bytes() || len(x.Raw) > limit) {
				t.Fatalf("%v of %d bytes", x.Type, len(x.Raw))
			}
		}
	})
}
