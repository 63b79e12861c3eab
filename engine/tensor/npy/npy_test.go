package npy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"scission/engine/tensor"
)

// file returns a .npy file with the given version, header and data.
func file(major byte, dict, data string) []byte {
	b := append([]byte("\x93NUMPY"), major, 0, byte(len(dict)), byte(len(dict)>>8))
	if major > 1 {
		b = append(b, 0, 0)
	}
	return append(append(b, dict...), data...)
}

func header1(descr, order, shape string) string {
	return fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n", descr, order, shape)
}

func TestReadEveryType(t *testing.T) {
	for _, c := range []struct {
		descr, data string
		want        *tensor.Tensor
	}{
		{"|b1", "\x00\x01", tensor.Of([]bool{false, true}, 2)},
		{"|i1", "\x01\xff", tensor.Of([]int8{1, -1}, 2)},
		{"<i2", "\x01\x02\xff\xff", tensor.Of([]int16{0x201, -1}, 2)},
		{">i2", "\x01\x02\xff\xff", tensor.Of([]int16{0x102, -1}, 2)},
		{"<i4", "\x01\x02\x03\x04\xfe\xff\xff\xff", tensor.Of([]int32{0x04030201, -2}, 2)},
		{">i4", "\x01\x02\x03\x04\xff\xff\xff\xfe", tensor.Of([]int32{0x01020304, -2}, 2)},
		{"<i8", "\x01\x02\x03\x04\x05\x06\x07\x08\xff\xff\xff\xff\xff\xff\xff\xff", tensor.Of([]int64{0x0807060504030201, -1}, 2)},
		{"|u1", "\x01\xff", tensor.Of([]uint8{1, 255}, 2)},
		{"u1", "\x01\xff", tensor.Of([]uint8{1, 255}, 2)},
		{"<u2", "\x01\x02\xff\xff", tensor.Of([]uint16{0x201, 65535}, 2)},
		{">u4", "\x01\x02\x03\x04\xff\xff\xff\xff", tensor.Of([]uint32{0x01020304, math.MaxUint32}, 2)},
		{">u8", "\x01\x02\x03\x04\x05\x06\x07\x08\xff\xff\xff\xff\xff\xff\xff\xff", tensor.Of([]uint64{0x0102030405060708, math.MaxUint64}, 2)},
		{"<f4", "\x00\x00\x80\x3f\x00\x00\x20\xc0", tensor.Of([]float32{1, -2.5}, 2)},
		{">f4", "\x3f\x80\x00\x00\xc0\x20\x00\x00", tensor.Of([]float32{1, -2.5}, 2)},
		{"=f4", "\x00\x00\x80\x3f\x00\x00\x20\xc0", tensor.Of([]float32{1, -2.5}, 2)},
		{"<f8", "\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x04\xc0", tensor.Of([]float64{1, -2.5}, 2)},
		{"<f2", "\x00\x3c\x00\xc1", &tensor.Tensor{Type: tensor.Type{DType: tensor.Float16, Shape: tensor.Shape{2}}, Raw: []byte("\x00\x3c\x00\xc1")}},
		{">f2", "\x3c\x00\xc1\x00", &tensor.Tensor{Type: tensor.Type{DType: tensor.Float16, Shape: tensor.Shape{2}}, Raw: []byte("\x00\x3c\x00\xc1")}},
	} {
		for major := byte(1); major <= 3; major++ {
			r := bytes.NewReader(append(file(major, header1(c.descr, "False", "(2,)"), c.data), "rest"...))
			got, err := Read(r, 16)
			if err != nil || !got.Identical(c.want) {
				t.Errorf("version %d, %s: got %v, %v, want %v", major, c.descr, got, err, c.want)
			}
			if r.Len() != len("rest") {
				t.Errorf("version %d, %s: %d bytes are left unread, want %d", major, c.descr, r.Len(), len("rest"))
			}
		}
	}
}

func TestFortranOrderBecomesRowMajor(t *testing.T) {
	// The array [[[0 1 2 3] [4 5 6 7] [8 ...]] [[12 ...]]] with its first index running fastest.
	want := tensor.New(tensor.Uint8, 2, 3, 4)
	var data []byte
	for k := range 4 {
		for j := range 3 {
			for i := range 2 {
				data = append(data, byte(i*12+j*4+k))
			}
		}
	}
	for i := range want.Raw {
		want.Raw[i] = byte(i)
	}
	got, err := Read(bytes.NewReader(file(1, header1("|u1", "True", "(2, 3, 4)"), string(data))), 100)
	if err != nil || !got.Identical(want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// The bytes are what numpy.save writes for these arrays.
func TestWriteIsWhatNumPyWrites(t *testing.T) {
	for _, c := range []struct {
		x    *tensor.Tensor
		dict string
		data string
	}{
		{tensor.Of([]float32{1, -2.5}, 2), "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "\x00\x00\x80\x3f\x00\x00\x20\xc0"},
		{tensor.Of([]int8{1, 2}, 1, 2), "{'descr': '|i1', 'fortran_order': False, 'shape': (1, 2), }", "\x01\x02"},
		{tensor.Scalar(true), "{'descr': '|b1', 'fortran_order': False, 'shape': (), }", "\x01"},
	} {
		var b bytes.Buffer
		if err := Write(&b, c.x); err != nil {
			t.Fatal(err)
		}
		want := "\x93NUMPY\x01\x00\x76\x00" + c.dict + strings.Repeat(" ", 117-len(c.dict)) + "\n" + c.data
		if b.String() != want {
			t.Errorf("got %q, want %q", b.String(), want)
		}
	}
	if err := Write(io.Discard, tensor.New(tensor.BFloat16, 1)); err == nil {
		t.Error("bfloat16 was written, want an error")
	}
}

func TestReadOfWriteIsIdentity(t *testing.T) {
	for _, d := range dtypes {
		for _, shape := range []tensor.Shape{nil, {0}, {3}, {2, 3}, {5, 0, 2}, {1, 2, 3, 4, 5}, make(tensor.Shape, tensor.MaxRank)} {
			x := tensor.New(d, shape...)
			for i := range x.Raw {
				x.Raw[i] = byte(i) & 1
			}
			var b bytes.Buffer
			if err := Write(&b, x); err != nil {
				t.Fatal(err)
			}
			if start := b.Len() - len(x.Raw); start%64 != 0 {
				t.Errorf("%v: data begin at byte %d, want a multiple of 64", x.Type, start)
			}
			got, err := Read(&b, len(x.Raw))
			if err != nil || !got.Identical(x) {
				t.Errorf("%v: got %v, %v", x.Type, got, err)
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	ok := header1("<f4", "False", "(2,)")
	for name, b := range map[string][]byte{
		"nothing":            nil,
		"another file":       []byte("PK\x03\x04 and so on"),
		"version 4":          file(4, ok, "12345678"),
		"short data":         file(1, ok, "1234567"),
		"short header":       file(1, ok, "")[:20],
		"huge header":        append([]byte("\x93NUMPY\x02\x00\xff\xff\xff\x7f"), ok...),
		"structured":         file(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", "12345678"),
		"objects":            file(1, header1("|O", "False", "(2,)"), "12345678"),
		"bfloat16":           file(1, header1("<V2", "False", "(2,)"), "1234"),
		"complex":            file(1, header1("<c8", "False", "(2,)"), "1234567812345678"),
		"no shape":           file(1, "{'descr': '<f4', 'fortran_order': False}", "12345678"),
		"shape twice":        file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'shape': (2,)}", "12345678"),
		"unknown key":        file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", "12345678"),
		"negative dimension": file(1, header1("<f4", "False", "(-2,)"), "12345678"),
		"absurd dimension":   file(1, header1("<f4", "False", "(99999999999999999999,)"), "12345678"),
		"no comma":           file(1, "{'descr': '<f4' 'fortran_order': False, 'shape': (2,)}", "12345678"),
		"open dictionary":    file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)", "12345678"),
		"text behind":        file(1, strings.TrimSpace(ok)+"import os", "12345678"),
		"order":              file(1, header1("<f4", "Maybe", "(2,)"), "12345678"),
		"two byte orders":    file(1, header1("<>f4", "False", "(2,)"), "12345678"),
		"bool of 2":          file(1, header1("|b1", "False", "(2,)"), "\x00\x02"),
	} {
		if x, err := Read(bytes.NewReader(b), 1<<20); x != nil || !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v, %v, want ErrFormat", name, x, err)
		}
	}
	if x, err := Read(bytes.NewReader(file(1, ok, "12345678")), 7); x != nil || !errors.Is(err, tensor.ErrType) {
		t.Errorf("limit of 7 for 8 bytes: got %v, %v, want tensor.ErrType", x, err)
	}
}

func TestReadAllocatesForTheDataNotForTheClaim(t *testing.T) {
	b := file(1, header1("<f4", "False", "(100000000,)"), "1234")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Read(bytes.NewReader(b), math.MaxInt); !errors.Is(err, ErrFormat) {
		t.Fatalf("got %v, want ErrFormat", err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 4*chunk {
		t.Errorf("a file of %d bytes that claims 400 MB took %d bytes, want at most %d", len(b), got, 4*chunk)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(file(1, header1("<f4", "False", "(2,)"), "12345678"))
	f.Add(file(2, header1(">i8", "True", "(1, 1)"), "12345678"))
	f.Add(file(3, header1("|b1", "False", "()"), "\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := Read(bytes.NewReader(b), 1<<16)
		if (x == nil) == (err == nil) {
			t.Fatalf("got %v and %v, want a tensor or an error", x, err)
		}
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := Write(&out, x); err != nil {
			t.Fatal(err)
		}
		y, err := Read(&out, 1<<16)
		if err != nil || !y.Identical(x) {
			t.Fatalf("wrote %v, read %v, %v", x.Type, y, err)
		}
	})
}
