package pb

import (
	"fmt"
	"iter"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// TypedField is the number of one of the fields of a TensorProto that hold its
// elements one by one.
type TypedField protowire.Number

// The typed fields, each for the element types that the schema names.
const (
	FloatData  TypedField = 4
	Int32Data  TypedField = 5
	StringData TypedField = 6
	Int64Data  TypedField = 7
	DoubleData TypedField = 10
	Uint64Data TypedField = 11
)

func (f TypedField) String() string {
	switch f {
	case FloatData:
		return "float_data"
	case Int32Data:
		return "int32_data"
	case StringData:
		return "string_data"
	case Int64Data:
		return "int64_data"
	case DoubleData:
		return "double_data"
	}
	return "uint64_data"
}

// elem is the wire type of one element.
func (f TypedField) elem() protowire.Type {
	switch f {
	case FloatData:
		return protowire.Fixed32Type
	case DoubleData:
		return protowire.Fixed64Type
	case StringData:
		return protowire.BytesType
	}
	return protowire.VarintType
}

// Typed is the contents of one typed field, as the file has them. It shares
// memory with the file. The zero Typed is a tensor that has none.
type Typed struct {
	Field   TypedField
	records []byte // whole fields with their tags
}

// Absent reports whether the tensor has no typed field.
func (t Typed) Absent() bool { return t.records == nil }

// typed is one of the typed fields of a tensor. All of a tensor's data must lie
// together in one field, packed or not, in any number of pieces.
func (c *coder) typed(f TypedField, p *Typed) {
	if c.skip(protowire.Number(f)) {
		return
	}
	if c.w != nil {
		if p.Field == f {
			c.w.size += int64(len(p.records))
			c.w.parts = append(c.w.flush(), p.records)
		}
		return
	}
	if !c.is(f.elem(), protowire.BytesType) {
		return
	}
	n := len(p.records)
	switch {
	case n == 0:
		*p = Typed{f, c.record}
	case p.Field == f && cap(p.records) >= n+len(c.record) && &p.records[:n+1][n] == &c.record[0]:
		p.records = p.records[:n+len(c.record)]
	default:
		c.d.fail("a tensor's %v and %v do not lie together", p.Field, f)
	}
}

// Packed returns the bytes of the elements if all lie together in one piece and each
// has a fixed size, and nil otherwise.
func (t Typed) Packed() []byte {
	if e := t.Field.elem(); t.Absent() || e != protowire.Fixed32Type && e != protowire.Fixed64Type {
		return nil
	}
	var c coder
	if c.next(t.records) != len(t.records) || c.typ != protowire.BytesType {
		return nil
	}
	return c.body
}

// Len is the number of elements.
func (t Typed) Len() (int, error) {
	n := 0
	for c, err := range t.walk() {
		switch {
		case err != nil:
			return 0, err
		case c.typ == t.Field.elem():
			n++
		case t.Field.elem() == protowire.VarintType:
			n += varints(c.body)
		default:
			size := t.size()
			if len(c.body)%size != 0 {
				return 0, fmt.Errorf("%w: %v has %d bytes, want a multiple of %d", ErrWire, t.Field, len(c.body), size)
			}
			n += len(c.body) / size
		}
	}
	return n, nil
}

// size is the number of bytes of an element of fixed size.
func (t Typed) size() int {
	if t.Field == DoubleData {
		return 8
	}
	return 4
}

// Bits yields each number as it is on the wire: the bits of a float or a double,
// an integer sign-extended to 64 bits. The field must not be StringData.
func (t Typed) Bits() iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		for c, err := range t.walk() {
			if err != nil {
				yield(0, err)
				return
			}
			if c.typ == t.Field.elem() {
				if !yield(c.value, nil) {
					return
				}
				continue
			}
			for b := c.body; len(b) > 0; {
				var v uint64
				var n int
				switch t.Field {
				case FloatData:
					var f uint32
					f, n = protowire.ConsumeFixed32(b)
					v = uint64(f)
				case DoubleData:
					v, n = protowire.ConsumeFixed64(b)
				default:
					v, n = protowire.ConsumeVarint(b)
				}
				if n < 0 {
					yield(0, fmt.Errorf("%w: %v: %v", ErrWire, t.Field, protowire.ParseError(n)))
					return
				}
				if !yield(v, nil) {
					return
				}
				b = b[n:]
			}
		}
	}
}

// StringsOf returns StringData with a copy of the strings.
func StringsOf(list []string) Typed {
	w := &writer{}
	for _, s := range list {
		w.bytes(protowire.Number(StringData), s)
	}
	return Typed{StringData, slices.Concat(w.flush()...)}
}

// Strings yields each string of StringData. They share memory with the file.
func (t Typed) Strings() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for c, err := range t.walk() {
			if err != nil {
				yield("", err)
				return
			}
			if !yield(alias(c.body), nil) {
				return
			}
		}
	}
}

// walk yields a coder that stands at each of the records in turn.
func (t Typed) walk() iter.Seq2[*coder, error] {
	return func(yield func(*coder, error) bool) {
		var c coder
		for b := t.records; len(b) > 0; {
			n := c.next(b)
			if n < 0 {
				yield(nil, fmt.Errorf("%w: %v: %v", ErrWire, t.Field, protowire.ParseError(n)))
				return
			}
			if !yield(&c, nil) {
				return
			}
			b = b[n:]
		}
	}
}

// varints is the number of varints in b.
func varints(b []byte) int {
	n := 0
	for _, c := range b {
		n += int(^c >> 7)
	}
	return n
}
