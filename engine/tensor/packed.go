package tensor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Kind says what a Value is.
type Kind uint8

// The kinds of values that are no dense tensors of numbers.
const (
	Strings  Kind = 1 + iota // a tensor whose elements are strings
	Sequence                 // any number of values
	Optional                 // one value, or none
	Map                      // two tensors: keys, and in the same order what they stand for
)

// String names the kind, such as "sequence".
func (k Kind) String() string {
	names := [...]string{"unknown", "strings", "sequence", "optional", "map"}
	if int(k) < len(names) {
		return names[k]
	}
	return names[0]
}

// Value is a value that is no dense tensor of numbers. Wherever tensors go, it
// goes as the tensor that Pack makes of it: a list of bytes with the element type
// Packed. How long that is depends on the value, not only on its type.
type Value struct {
	Kind    Kind
	Shape   Shape     // of Strings
	Strings []string  // of Strings, row-major
	Items   []*Tensor // of the other kinds; each may be Packed itself
}

// Bounds of a Value.
const (
	MaxStrings = 1 << 24 // strings of one tensor
	maxNesting = 16      // values in values
	maxPacked  = 1<<31 - 1
)

// ErrPacked is in every error of Pack and Unpack.
var ErrPacked = errors.New("bad packed value")

// A packed value begins with its kind and how many levels of values are in it.
// Strings have then rank and dimensions, and of each string length and bytes; the
// other kinds the number of items, and of each element type, rank, dimensions, as
// many zeros as bring it to a multiple of itemAlign, and bytes. Numbers of more
// than a byte are unsigned varints.
const itemAlign = 8

// Pack returns the value as a tensor in memory of its own. It fails if the
// value is too large or too deep, or the shape does not fit the strings.
func (v Value) Pack() (*Tensor, error) {
	nesting, size := 0, int64(header(v.Shape))
	for _, t := range v.Items {
		if t.DType == Packed && len(t.Raw) > 1 {
			nesting = max(nesting, int(t.Raw[1])+1)
		}
		size += int64(len(t.Raw) + header(t.Shape) + itemAlign)
	}
	for _, s := range v.Strings {
		size += int64(len(s) + binary.MaxVarintLen32)
	}
	switch {
	case v.Kind < Strings || v.Kind > Map || v.Kind == Optional && len(v.Items) > 1 || v.Kind == Map && len(v.Items) != 2:
		return nil, fmt.Errorf("%w: %v of %d items", ErrPacked, v.Kind, len(v.Items))
	case nesting > maxNesting:
		return nil, fmt.Errorf("%w: values are nested more than %d deep", ErrPacked, maxNesting)
	case size > maxPacked:
		return nil, fmt.Errorf("%w: %v takes %d bytes, limit is %d", ErrPacked, v.Kind, size, maxPacked)
	}
	b := append(Alloc(int(size))[:0], byte(v.Kind), byte(nesting))
	if v.Kind == Strings {
		if typ, err := CheckType(Uint8, v.Shape, MaxStrings); err != nil || typ.Bytes() != len(v.Strings) {
			return nil, fmt.Errorf("%w: %d strings of shape %v, limit is %d", ErrPacked, len(v.Strings), v.Shape, MaxStrings)
		}
		b = appendShape(b, v.Shape)
		for _, s := range v.Strings {
			b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
		}
	} else {
		b = binary.AppendUvarint(b, uint64(len(v.Items)))
		for _, t := range v.Items {
			b = appendShape(append(b, byte(t.DType)), t.Shape)
			b = append(b, zeros[:-len(b)&(itemAlign-1)]...)
			b = append(b, t.Raw...)
		}
	}
	return &Tensor{Type{Packed, Shape{len(b)}}, b}, nil
}

var zeros [itemAlign]byte

// header is at least the number of bytes before the contents of a value or an
// item of shape s.
func header(s Shape) int { return binary.MaxVarintLen64 * (len(s) + 2) }

func appendShape(b []byte, s Shape) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	for _, d := range s {
		b = binary.AppendUvarint(b, uint64(d))
	}
	return b
}

// Unpack returns the value of which t is packed. Items share memory with t,
// strings do not. Whatever the bytes are, memory stays within a constant times
// their number. Items are not looked into, so that each must be unpacked with
// care of its own.
func (t *Tensor) Unpack() (Value, error) {
	if t.DType != Packed {
		return Value{}, fmt.Errorf("%w: got %v", ErrPacked, t.Type)
	}
	if len(t.Raw) < 2 || t.Raw[0] < byte(Strings) || t.Raw[0] > byte(Map) || t.Raw[1] > maxNesting {
		return Value{}, fmt.Errorf("%w: no such kind", ErrPacked)
	}
	v := Value{Kind: Kind(t.Raw[0])}
	u := unpacker{all: t.Raw, at: 2}
	if v.Kind == Strings {
		u.strings(&v)
	} else {
		u.items(&v, int(t.Raw[1]))
	}
	if u.err == nil && u.at != len(u.all) {
		u.fail("%d bytes behind the end", len(u.all)-u.at)
	}
	if u.err != nil {
		return Value{}, u.err
	}
	return v, nil
}

// unpacker reads what Pack writes.
type unpacker struct {
	all []byte
	at  int
	err error
}

func (u *unpacker) fail(format string, args ...any) {
	if u.err == nil {
		u.err = fmt.Errorf("%w: "+format, append([]any{ErrPacked}, args...)...)
	}
}

// number reads a number of at most most.
func (u *unpacker) number(most int) int {
	v, n := binary.Uvarint(u.all[u.at:])
	if n <= 0 || v > uint64(most) {
		u.fail("a number is cut off or too large")
		return 0
	}
	u.at += n
	return int(v)
}

// bytes reads n bytes.
func (u *unpacker) bytes(n int) []byte {
	if u.err != nil || n > len(u.all)-u.at {
		u.fail("%d bytes are missing", n-(len(u.all)-u.at))
		return nil
	}
	u.at += n
	return u.all[u.at-n : u.at : u.at]
}

// shape reads the shape of d and checks that its elements keep within limit bytes.
func (u *unpacker) shape(d DType, limit int) Shape {
	s := make(Shape, u.number(MaxRank))
	for i := range s {
		s[i] = u.number(math.MaxInt)
	}
	if _, err := CheckType(d, s, limit); err != nil {
		u.fail("%v", err)
		return Shape{0}
	}
	return s
}

func (u *unpacker) strings(v *Value) {
	v.Shape = u.shape(Uint8, min(MaxStrings, len(u.all)))
	text := string(u.all)
	v.Strings = make([]string, v.Shape.Elems())
	for i := range v.Strings {
		n := len(u.bytes(u.number(len(u.all))))
		if u.err != nil {
			return
		}
		v.Strings[i] = text[u.at-n : u.at]
	}
}

// items reads those of a value that has so many levels in it.
func (u *unpacker) items(v *Value, nesting int) {
	count := u.number(len(u.all))
	for range count {
		head := u.bytes(1)
		if u.err != nil {
			return
		}
		d := DType(head[0])
		s := u.shape(d, len(u.all))
		u.bytes(-u.at & (itemAlign - 1))
		if u.err != nil {
			return
		}
		typ := Type{d, s}
		raw := u.bytes(typ.Bytes())
		if d == Packed && (len(s) != 1 || len(raw) < 2 || int(raw[1]) >= nesting) {
			u.fail("an item is nested deeper than its place")
		}
		if d == Bool {
			for _, b := range raw {
				if b > 1 {
					u.fail("a bool is %d", b)
					break
				}
			}
		}
		if u.err != nil {
			return
		}
		v.Items = append(v.Items, &Tensor{typ, raw})
	}
	if n := len(v.Items); v.Kind == Optional && n > 1 || v.Kind == Map && n != 2 {
		u.fail("%v of %d items", v.Kind, n)
	}
}
