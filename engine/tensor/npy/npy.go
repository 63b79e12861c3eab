// Package npy reads and writes tensors in NumPy's .npy format, and reads its .npz
// archives of them.
//
// It reads versions 1, 2 and 3 of the format, booleans, integers of 8 to 64 bits
// and floats of 16 to 64 bits, little-endian and big-endian, in C and in Fortran
// order. It imports only engine/tensor and knows no graph and no network.
//
// Source: NumPy, NEP 1 and numpy.lib.format.
package npy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"scission/engine/tensor"
)

// ErrFormat is in every error that says that the input is no .npy file, or one
// of a kind that this package does not read.
var ErrFormat = errors.New("not a readable .npy file")

const (
	magic = "\x93NUMPY"
	// maxHeader bounds the length of the header that a file may have. NumPy's
	// own limit is 10000.
	maxHeader = 1 << 16
	// align is what the length of everything before the data is a multiple of.
	align = 64
	// chunk is the number of bytes that Read allocates before it has seen any.
	chunk = 1 << 20
)

var dtypes = map[string]tensor.DType{
	"b1": tensor.Bool, "i1": tensor.Int8, "i2": tensor.Int16, "i4": tensor.Int32, "i8": tensor.Int64,
	"u1": tensor.Uint8, "u2": tensor.Uint16, "u4": tensor.Uint32, "u8": tensor.Uint64,
	"f2": tensor.Float16, "f4": tensor.Float32, "f8": tensor.Float64,
}

// Read reads one array of at most limit bytes of elements and leaves what
// follows it unread. The memory it uses is at most three times what r gives,
// whatever the header claims, and a few megabytes.
func Read(r io.Reader, limit int) (*tensor.Tensor, error) {
	h, err := readHeader(r)
	if err != nil {
		return nil, fmt.Errorf("npy: %w", err)
	}
	typ, err := tensor.CheckType(h.dtype, h.shape, limit)
	if err != nil {
		return nil, fmt.Errorf("npy: %w", err)
	}
	raw, err := readData(r, typ.Bytes())
	if err != nil {
		return nil, fmt.Errorf("npy: %w: %d bytes of data for %v: %w", ErrFormat, typ.Bytes(), typ, err)
	}
	if h.bigEndian {
		swap(raw, typ.DType.Size())
	}
	if typ.DType == tensor.Bool {
		if i := slices.IndexFunc(raw, func(b byte) bool { return b > 1 }); i >= 0 {
			return nil, fmt.Errorf("npy: %w: element %d is %d, want 0 or 1", ErrFormat, i, raw[i])
		}
	}
	if h.fortran {
		raw = rowMajor(raw, typ)
	}
	return &tensor.Tensor{Type: typ, Raw: raw}, nil
}

// Write writes t as a file of version 1, little-endian and in C order. bfloat16
// has no form that NumPy itself knows and is an error.
func Write(w io.Writer, t *tensor.Tensor) error {
	descr := ""
	for name, d := range dtypes {
		if d == t.DType {
			descr = name
		}
	}
	if descr == "" {
		return fmt.Errorf("npy: %v has no form in a .npy file; convert it to float32 first", t.DType)
	}
	order := "<"
	if t.DType.Size() == 1 {
		order = "|"
	}
	dims := make([]string, len(t.Shape))
	for i, d := range t.Shape {
		dims[i] = strconv.Itoa(d)
	}
	shape := strings.Join(dims, ", ")
	if len(dims) == 1 {
		shape += ","
	}
	dict := fmt.Sprintf("{'descr': '%s%s', 'fortran_order': False, 'shape': (%s), }", order, descr, shape)
	b := append([]byte(magic), 1, 0, 0, 0)
	b = append(b, dict...)
	for (len(b)+1)%align != 0 {
		b = append(b, ' ')
	}
	b = append(b, '\n')
	const fixed = len(magic) + 4 // magic, version and length
	binary.LittleEndian.PutUint16(b[fixed-2:], uint16(len(b)-fixed))
	if _, err := w.Write(b); err != nil {
		return err
	}
	_, err := w.Write(t.Raw)
	return err
}

// header is what a file says of its array.
type header struct {
	dtype     tensor.DType
	bigEndian bool
	fortran   bool
	shape     tensor.Shape
}

func readHeader(r io.Reader) (header, error) {
	var b [len(magic) + 2]byte
	if _, err := io.ReadFull(r, b[:]); err != nil || string(b[:len(magic)]) != magic {
		return header{}, fmt.Errorf("%w: it does not begin with %q", ErrFormat, magic)
	}
	size := make([]byte, 4)
	switch major := b[len(magic)]; major {
	case 1:
		size = size[:2]
	case 2, 3:
	default:
		return header{}, fmt.Errorf("%w: version %d, want 1 to 3", ErrFormat, major)
	}
	if _, err := io.ReadFull(r, size); err != nil {
		return header{}, fmt.Errorf("%w: length of the header: %w", ErrFormat, err)
	}
	n := uint32(binary.LittleEndian.Uint16(size))
	if len(size) == 4 {
		n = binary.LittleEndian.Uint32(size)
	}
	if n > maxHeader {
		return header{}, fmt.Errorf("%w: header of %d bytes, want at most %d", ErrFormat, n, maxHeader)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return header{}, fmt.Errorf("%w: header of %d bytes: %w", ErrFormat, n, err)
	}
	h, err := parseHeader(string(text))
	if err != nil {
		return header{}, fmt.Errorf("%w: header %.200q: %w", ErrFormat, text, err)
	}
	return h, nil
}

// parseHeader reads the Python dictionary of a header.
func parseHeader(text string) (header, error) {
	p := parser{rest: text}
	var h header
	seen := map[string]bool{}
	p.expect("{")
	for p.err == nil && !p.accept("}") {
		key := p.str()
		p.expect(":")
		if seen[key] {
			p.fail("%q is given twice", key)
		}
		seen[key] = true
		switch key {
		case "descr":
			p.descr(&h)
		case "fortran_order":
			if h.fortran = p.accept("True"); !h.fortran {
				p.expect("False")
			}
		case "shape":
			p.shape(&h)
		default:
			p.fail("unknown key %q", key)
		}
		if !p.accept(",") {
			p.expect("}")
			break
		}
	}
	if p.space(); p.rest != "" {
		p.fail("%q behind the dictionary", p.rest)
	}
	for _, key := range []string{"descr", "fortran_order", "shape"} {
		if !seen[key] {
			p.fail("no %q", key)
		}
	}
	return h, p.err
}

// parser reads what a header may hold. After its first error it reads nothing
// more.
type parser struct {
	rest string
	err  error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
		p.rest = ""
	}
}

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

func (p *parser) accept(token string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, token)
	p.rest = rest
	return ok
}

func (p *parser) expect(token string) {
	if !p.accept(token) {
		p.fail("got %.20q, want %q", p.rest, token)
	}
}

// str reads a string without escapes.
func (p *parser) str() string {
	quote := "'"
	if !p.accept(quote) {
		quote = `"`
		p.expect(quote)
	}
	s, rest, ok := strings.Cut(p.rest, quote)
	if !ok || strings.Contains(s, `\`) {
		p.fail("got %.20q, want a string", p.rest)
		return ""
	}
	p.rest = rest
	return s
}

func (p *parser) descr(h *header) {
	if p.space(); strings.HasPrefix(p.rest, "[") {
		p.fail("structured arrays are not supported")
		return
	}
	s := p.str()
	if p.err != nil {
		return
	}
	name := strings.TrimLeft(s, "<>|=")
	d, ok := dtypes[name]
	if !ok || len(s)-len(name) > 1 {
		p.fail("element type %q is not supported", s)
		return
	}
	h.dtype, h.bigEndian = d, s[0] == '>' && d.Size() > 1
}

func (p *parser) shape(h *header) {
	p.expect("(")
	for p.err == nil && !p.accept(")") {
		p.space()
		digits := p.rest[:len(p.rest)-len(strings.TrimLeft(p.rest, "0123456789"))]
		n, err := strconv.Atoi(digits)
		if err != nil || len(h.shape) == tensor.MaxRank {
			p.fail("got %.20q, want at most %d dimensions", p.rest, tensor.MaxRank)
			return
		}
		p.rest = p.rest[len(digits):]
		p.accept("L") // as Python 2 writes long integers
		h.shape = append(h.shape, n)
		if !p.accept(",") {
			p.expect(")")
			break
		}
	}
}

// readData reads n bytes, and allocates little more than r really gives.
func readData(r io.Reader, n int) ([]byte, error) {
	b := tensor.Alloc(min(n, chunk))
	have := 0
	for {
		k, err := io.ReadFull(r, b[have:])
		if have += k; err != nil {
			return nil, err
		}
		if have == n {
			return b, nil
		}
		more := tensor.Alloc(have + min(have, n-have))
		copy(more, b)
		b = more
	}
}

// swap turns each element of size bytes round.
func swap(b []byte, size int) {
	for ; len(b) > 0; b = b[size:] {
		slices.Reverse(b[:size])
	}
}

// rowMajor returns the elements of b, which are in Fortran order, in C order.
func rowMajor(b []byte, t tensor.Type) []byte {
	size := t.DType.Size()
	strides := make([]int, len(t.Shape)) // in b, in bytes
	step := size
	for i, d := range t.Shape {
		strides[i] = step
		step *= d
	}
	out := tensor.Alloc(len(b))
	index := make([]int, len(t.Shape))
	at := 0
	for o := 0; o < len(out); o += size {
		copy(out[o:o+size], b[at:at+size])
		for i := len(index) - 1; i >= 0; i-- {
			index[i]++
			at += strides[i]
			if index[i] < t.Shape[i] {
				break
			}
			at -= index[i] * strides[i]
			index[i] = 0
		}
	}
	return out
}
