package onnximport

import (
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"scission/engine/tensor"
	"scission/onnximport/internal/pb"
)

// contents are the bytes of a file.
type contents struct {
	data []byte
	// close releases data.
	close func() error
	// forget gives the memory of data[lo:hi] back to the system, which reads it
	// from the file again when it is needed; nil where that is not possible.
	forget func(lo, hi int)
}

// getFile returns the contents of f, if they must be read at most limit bytes:
// mapFile or readFile.
type getFile func(f *os.File, limit int64) (contents, error)

// readFile reads f into memory of its own.
func readFile(f *os.File, limit int64) (contents, error) {
	size, err := fileSize(f, limit)
	if err != nil {
		return contents{}, err
	}
	b := tensor.Alloc(size)
	if _, err := io.ReadFull(f, b); err != nil {
		return contents{}, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return contents{data: b, close: func() error { return nil }}, nil
}

// fileSize is the size of f, which must be a regular file of at most limit bytes.
func fileSize(f *os.File, limit int64) (int, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !st.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is not a regular file", f.Name())
	}
	if limit = min(limit, math.MaxInt); st.Size() > limit {
		return 0, fmt.Errorf("%s has %d bytes, want at most %d", f.Name(), st.Size(), limit)
	}
	return int(st.Size()), nil
}

// openExternal gets every file in which a tensor of the model lies.
func (m *Model) openExternal(dir string, get getFile) error {
	var root *os.Root
	left := int64(m.limits.Constants) // bytes that may be read
	m.decoder.external = map[string][]byte{}
	for t := range m.proto.Tensors() {
		if t.DataLocation != pb.External {
			continue
		}
		x, err := externalOf(t)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if _, ok := m.decoder.external[x.location]; ok {
			continue
		}
		if dir == "" {
			return fmt.Errorf("tensor %q: its data is in another file, %q, and no folder is given for such files", t.Name, x.location)
		}
		if root == nil {
			if root, err = os.OpenRoot(dir); err != nil {
				return err
			}
			defer root.Close()
		}
		file, err := openIn(root, x.location, get, left)
		if err != nil {
			return fmt.Errorf("tensor %q: external data %q: %w", t.Name, x.location, err)
		}
		left -= int64(len(file.data))
		m.decoder.external[strings.Clone(x.location)] = file.data
		m.files = append(m.files, file)
	}
	return nil
}

// openIn returns the contents of a file below root. It must be a regular file
// with no other name, since a hard link could lead out of the folder; symbolic
// links that do are refused by os.Root.
func openIn(root *os.Root, location string, get getFile, limit int64) (contents, error) {
	f, err := root.OpenFile(filepath.FromSlash(path.Clean(location)), openFlags, 0)
	if err != nil {
		return contents{}, err
	}
	defer f.Close()
	n, err := links(f)
	if err != nil {
		return contents{}, err
	}
	if n != 1 {
		return contents{}, fmt.Errorf("the file has %d hard links, want 1", n)
	}
	return get(f, limit)
}

// extent says where a tensor's external data lies.
type extent struct {
	location string
	offset   int64
	length   int64 // -1 if not given
}

// externalOf reads a tensor's external_data. The checksum, which is optional,
// and keys that ONNX does not define are ignored.
func externalOf(t *pb.Tensor) (extent, error) {
	x := extent{length: -1}
	seen := map[string]bool{}
	for _, e := range t.ExternalData {
		if seen[e.Key] {
			return x, fmt.Errorf("%w: external data has two entries %q", ErrFormat, e.Key)
		}
		seen[e.Key] = true
		var err error
		switch e.Key {
		case "location":
			x.location = e.Value
		case "offset":
			x.offset, err = count(e.Value)
		case "length":
			x.length, err = count(e.Value)
		}
		if err != nil {
			return x, fmt.Errorf("%w: external data has %s %q", ErrFormat, e.Key, e.Value)
		}
	}
	if x.location == "" {
		return x, fmt.Errorf("%w: external data has no location", ErrFormat)
	}
	if slices.Contains(strings.Split(x.location, "/"), "..") || !filepath.IsLocal(filepath.FromSlash(x.location)) {
		return x, fmt.Errorf("%w: external data is at %q, want a path within the model's folder", ErrFormat, x.location)
	}
	return x, nil
}

// count reads a number of bytes.
func count(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}

// bytes returns the size bytes of t in its external file.
func (d *tensorDecoder) bytes(t *pb.Tensor, size int) ([]byte, error) {
	x, err := externalOf(t)
	if err != nil {
		return nil, err
	}
	if x.length >= 0 && x.length != int64(size) {
		return nil, fmt.Errorf("%w: external data has %d bytes, want %d", ErrFormat, x.length, size)
	}
	b, ok := d.external[x.location]
	if !ok {
		return nil, fmt.Errorf("its data is in another file, %q", x.location)
	}
	if x.offset > int64(len(b)) || int64(size) > int64(len(b))-x.offset {
		return nil, fmt.Errorf("%w: external data is bytes %d to %d of %q, which has %d",
			ErrFormat, x.offset, x.offset+int64(size), x.location, len(b))
	}
	return b[x.offset:][:size:size], nil
}
