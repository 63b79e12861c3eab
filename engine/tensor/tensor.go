// Package tensor holds dense tensors: an element type, a shape and bytes.
//
// The bytes are row-major and little-endian, exactly as ONNX's raw_data, as a
// .npy file in C order and as a frame on the wire have them, so that a tensor
// moves between a file, memory and a socket without conversion. The package
// imports nothing else of the project and knows neither operators, graphs nor
// machines.
package tensor

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
	"unsafe"
)

// DType is an element type. Its values are those of ONNX's TensorProto.DataType,
// so that files and frames need no table.
type DType uint8

// The element types a Tensor can hold. The zero DType is no type; a Fact with
// it stands for an omitted optional input.
const (
	Undefined DType = 0
	Float32   DType = 1
	Uint8     DType = 2
	Int8      DType = 3
	Uint16    DType = 4
	Int16     DType = 5
	Int32     DType = 6
	Int64     DType = 7
	Bool      DType = 9 // one byte an element, 0 or 1
	Float16   DType = 10
	Float64   DType = 11
	Uint32    DType = 12
	Uint64    DType = 13
	BFloat16  DType = 16

	// Types of at most 8 bits, each element in a byte of its own; see Bits.
	Float8E4M3FN   DType = 17
	Float8E4M3FNUZ DType = 18
	Float8E5M2     DType = 19
	Float8E5M2FNUZ DType = 20
	Uint4          DType = 21
	Int4           DType = 22
	Float4E2M1     DType = 23
	Float8E8M0     DType = 24 // powers of two
	Uint2          DType = 25
	Int2           DType = 26

	// Packed marks a value that is no dense tensor of numbers; see Value.
	Packed DType = 127
)

var dtypes = [...]struct {
	name string
	size int
}{
	Float32: {"float32", 4}, Uint8: {"uint8", 1}, Int8: {"int8", 1}, Uint16: {"uint16", 2},
	Int16: {"int16", 2}, Int32: {"int32", 4}, Int64: {"int64", 8}, Bool: {"bool", 1},
	Float16: {"float16", 2}, Float64: {"float64", 8}, Uint32: {"uint32", 4}, Uint64: {"uint64", 8},
	BFloat16: {"bfloat16", 2}, Packed: {"packed", 1},
	Float8E4M3FN: {"float8_e4m3fn", 1}, Float8E4M3FNUZ: {"float8_e4m3fnuz", 1}, Float8E5M2: {"float8_e5m2", 1},
	Float8E5M2FNUZ: {"float8_e5m2fnuz", 1}, Float8E8M0: {"float8_e8m0fnu", 1}, Float4E2M1: {"float4_e2m1fn", 1},
	Uint4: {"uint4", 1}, Int4: {"int4", 1}, Uint2: {"uint2", 1}, Int2: {"int2", 1},
}

// Valid reports whether d is a type that a Tensor can hold.
func (d DType) Valid() bool { return d.Size() > 0 }

// Size is the number of bytes of one element, or 0 when d is not Valid.
func (d DType) Size() int {
	if int(d) < len(dtypes) {
		return dtypes[d].size
	}
	return 0
}

// String is the type's name as NumPy writes it, such as "float32".
func (d DType) String() string {
	if d.Valid() {
		return dtypes[d].name
	}
	if d == Undefined {
		return "undefined"
	}
	return "dtype(" + strconv.Itoa(int(d)) + ")"
}

// IsFloat reports whether d is a floating-point type.
func (d DType) IsFloat() bool {
	return d == Float32 || d == Float64 || d == Float16 || d == BFloat16
}

// Shape is the length of each dimension, outermost first. A nil or empty Shape
// is a scalar.
type Shape []int

// Elems is the product of the dimensions: 1 for a scalar, 0 if any dimension
// is 0. The shape must have passed CheckType, or the product may overflow.
func (s Shape) Elems() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// Equal reports whether s and o have the same rank and dimensions.
func (s Shape) Equal(o Shape) bool {
	if len(s) != len(o) {
		return false
	}
	for i := range s {
		if s[i] != o[i] {
			return false
		}
	}
	return true
}

// Clone returns a copy that shares no memory with s.
func (s Shape) Clone() Shape { return append(Shape{}, s...) }

// String writes the shape as "[1 3 224 224]".
func (s Shape) String() string {
	var b strings.Builder
	b.WriteByte('[')
	for i, d := range s {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.Itoa(d))
	}
	b.WriteByte(']')
	return b.String()
}

// Type is an element type and a shape.
type Type struct {
	DType DType
	Shape Shape
}

// Bytes is the number of bytes that a tensor of this type occupies.
func (t Type) Bytes() int { return t.DType.Size() * t.Shape.Elems() }

// Equal reports whether both element type and shape are the same.
func (t Type) Equal(o Type) bool { return t.DType == o.DType && t.Shape.Equal(o.Shape) }

// String writes the type as "float32[1 3 224 224]".
func (t Type) String() string { return t.DType.String() + t.Shape.String() }

// MaxRank is the largest number of dimensions that CheckType accepts.
const MaxRank = 32

// ErrType is in every error of CheckType.
var ErrType = errors.New("bad tensor type")

// CheckType returns the Type of d and s after checking that d is known, that
// the rank is at most MaxRank, that no dimension is negative and that the
// tensor's size in bytes is at most limit. It is the only way in for types
// that come from files and sockets: it is called before anything of that size
// is allocated. A zero dimension does not excuse the others: the product of
// the non-zero dimensions must not overflow either.
func CheckType(d DType, s Shape, limit int) (Type, error) {
	if !d.Valid() {
		return Type{}, fmt.Errorf("%w: unknown element type %v", ErrType, d)
	}
	if len(s) > MaxRank {
		return Type{}, fmt.Errorf("%w: rank %d, want at most %d", ErrType, len(s), MaxRank)
	}
	n, zero := d.Size(), false
	for i, dim := range s {
		switch {
		case dim < 0:
			return Type{}, fmt.Errorf("%w: dimension %d of %v is negative", ErrType, i, s)
		case dim == 0:
			zero = true
		case n > math.MaxInt/dim:
			return Type{}, fmt.Errorf("%w: size of %v%v overflows", ErrType, d, s)
		default:
			n *= dim
		}
	}
	if !zero && n > limit {
		return Type{}, fmt.Errorf("%w: %v%v takes %d bytes, limit is %d", ErrType, d, s, n, limit)
	}
	return Type{d, s}, nil
}

// Tensor is a dense tensor. Raw holds Type.Bytes() bytes, row-major and
// little-endian, unless a graph.Layout of the plan says otherwise. A Tensor is
// not safe for concurrent writing.
type Tensor struct {
	Type
	Raw []byte
}

// Align is the alignment in bytes of memory from Alloc and New: a cache line,
// and the widest vector register in use.
const Align = 64

// Alloc returns n zeroed bytes that start on a multiple of Align.
func Alloc(n int) []byte {
	b := make([]byte, n+Align-1)
	off := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (Align - 1))
	return b[off : off+n : off+n]
}

// New returns a zeroed tensor whose memory starts on a multiple of Align.
func New(d DType, shape ...int) *Tensor {
	t := Type{d, Shape(shape).Clone()}
	return &Tensor{t, Alloc(t.Bytes())}
}

// Of returns a tensor of the given shape that holds a copy of data.
// It panics if the number of elements does not match the shape.
func Of[T Elem](data []T, shape ...int) *Tensor {
	if n := Shape(shape).Elems(); n != len(data) {
		panic(fmt.Sprintf("tensor: %d elements for shape %v", len(data), Shape(shape)))
	}
	t := New(dtypeOf[T](), shape...)
	copy(View[T](t), data)
	return t
}

// Scalar returns a tensor of rank 0 that holds v.
func Scalar[T Elem](v T) *Tensor { return Of([]T{v}) }

// Elem lists the Go types in which a tensor's elements can be viewed. Float16
// and BFloat16 are viewed as uint16, Bool as bool.
type Elem interface {
	float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | bool
}

func dtypeOf[T Elem]() DType {
	var z T
	switch any(z).(type) {
	case float32:
		return Float32
	case float64:
		return Float64
	case int8:
		return Int8
	case int16:
		return Int16
	case int32:
		return Int32
	case int64:
		return Int64
	case uint8:
		return Uint8
	case uint16:
		return Uint16
	case uint32:
		return Uint32
	case uint64:
		return Uint64
	}
	return Bool
}

// View returns t's elements as a []T that shares memory with t. It panics if T
// is not the Go type of t's DType; Float16 and BFloat16 are viewed as uint16,
// integers of less than 8 bits as int8 or uint8.
func View[T Elem](t *Tensor) []T {
	want := dtypeOf[T]()
	if t.DType.Base() != want && !(want == Uint16 && (t.DType == Float16 || t.DType == BFloat16)) {
		panic(fmt.Sprintf("tensor: %v viewed as %v", t.Type, want))
	}
	return Cast[T](t.Raw)
}

// Cast returns b as a []T that shares memory with b. The length is rounded
// down to whole elements. b must be Aligned for T.
func Cast[T Elem](b []byte) []T {
	var z T
	n := len(b) / int(unsafe.Sizeof(z))
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

// anyAlignment says that this architecture reads and writes numbers at any
// address.
const anyAlignment = runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"

// Aligned reports whether b can be viewed as elements of size bytes on this
// architecture.
func Aligned(b []byte, size int) bool {
	return anyAlignment || size == 0 || len(b) == 0 || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%uintptr(size) == 0
}

// F32 is View[float32].
func (t *Tensor) F32() []float32 { return View[float32](t) }

// I64 is View[int64].
func (t *Tensor) I64() []int64 { return View[int64](t) }

// Clone returns a copy of t in memory of its own.
func (t *Tensor) Clone() *Tensor {
	c := &Tensor{Type{t.DType, t.Shape.Clone()}, Alloc(len(t.Raw))}
	copy(c.Raw, t.Raw)
	return c
}

// Identical reports whether t and o have the same type and the same bytes.
func (t *Tensor) Identical(o *Tensor) bool {
	return t.Type.Equal(o.Type) && bytes.Equal(t.Raw, o.Raw)
}
