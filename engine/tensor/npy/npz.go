package npy

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"scission/engine/tensor"
)

const (
	// maxDirectory bounds the bytes that OpenZip reads of an archive's end,
	// and so the number of its members.
	maxDirectory = 1 << 20
	// suffix is what NumPy appends to an array's name.
	suffix = ".npy"
)

// Zip is a .npz file: named arrays, each a member NAME.npy of a ZIP archive,
// stored or deflated. It may be used concurrently if its reader may.
//
// Source: numpy.savez, numpy.savez_compressed.
type Zip struct {
	names   []string
	members map[string]*zip.File
}

// OpenZip reads the directory of an archive of size bytes, which must stay
// readable while the Zip is used. Members that are no .npy files are left out;
// two of one name are an error, as is a directory of more than a megabyte.
func OpenZip(r io.ReaderAt, size int64) (*Zip, error) {
	bounded := &boundedReaderAt{r: r, left: maxDirectory}
	archive, err := zip.NewReader(bounded, size)
	if err != nil {
		return nil, fmt.Errorf("npy: %w: %w", ErrFormat, err)
	}
	bounded.left = -1
	z := &Zip{members: map[string]*zip.File{}}
	for _, f := range archive.File {
		name, ok := strings.CutSuffix(f.Name, suffix)
		if !ok {
			continue
		}
		if z.members[name] != nil {
			return nil, fmt.Errorf("npy: %w: array %q is there twice", ErrFormat, name)
		}
		z.members[name] = f
		z.names = append(z.names, name)
	}
	return z, nil
}

// Names lists the arrays in the order of the file.
func (z *Zip) Names() []string { return slices.Clone(z.names) }

// Read reads the array of the given name, of at most limit bytes of elements,
// and checks the member's checksum. Memory is bounded as that of the function
// Read, whatever the member unpacks to.
func (z *Zip) Read(name string, limit int) (*tensor.Tensor, error) {
	f := z.members[name]
	if f == nil {
		return nil, fmt.Errorf("npy: no array %q, the file has %q", name, z.names)
	}
	t, err := readMember(f, limit)
	if err != nil {
		return nil, fmt.Errorf("array %q: %w", name, err)
	}
	return t, nil
}

func readMember(f *zip.File, limit int) (*tensor.Tensor, error) {
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("npy: %w: %w", ErrFormat, err)
	}
	defer r.Close()
	t, err := Read(r, limit)
	if err != nil {
		return nil, err
	}
	// The checksum is compared at the end.
	if n, err := io.ReadFull(r, make([]byte, 1)); n > 0 {
		return nil, fmt.Errorf("npy: %w: more data than %v", ErrFormat, t.Type)
	} else if err != io.EOF {
		return nil, fmt.Errorf("npy: %w: %w", ErrFormat, err)
	}
	return t, nil
}

// boundedReaderAt fails after left bytes, unless left is negative.
type boundedReaderAt struct {
	r    io.ReaderAt
	left int
}

var errDirectory = errors.New("the archive's directory is too large")

func (b *boundedReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if b.left < 0 {
		return b.r.ReadAt(p, off)
	}
	if len(p) > b.left {
		return 0, errDirectory
	}
	n, err := b.r.ReadAt(p, off)
	b.left -= n
	return n, err
}
