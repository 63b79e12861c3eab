package onnximport

import (
	"fmt"
	"slices"

	"scission/engine/tensor"
	"scission/onnximport/internal/pb"
	"scission/ops"
)

// ReadTensor reads a TensorProto of at most limit bytes of elements, such as the
// input_0.pb of an ONNX test case, and returns its name too. The tensor shares
// memory with data where the elements lie aligned in it, so data must not be
// changed afterwards.
func ReadTensor(data []byte, limit int) (t *tensor.Tensor, name string, err error) {
	return Input{}.Read(data, limit)
}

// tensorDecoder turns TensorProtos into tensors.
type tensorDecoder struct {
	limit    int               // bytes of one tensor
	left     int               // bytes of tensors that do not lie in a file
	external map[string][]byte // files by location
}

// tensor returns a tensor that shares memory with the file if the elements lie
// there as they lie in memory: raw, aligned and of whole bytes.
func (d *tensorDecoder) tensor(p *pb.Tensor) (*tensor.Tensor, error) {
	if p.DataType == pb.String {
		return d.strings(p)
	}
	typ, err := d.typeOf(p)
	if err != nil {
		return nil, err
	}
	switch {
	case p.Segment != nil:
		return nil, fmt.Errorf("%w: the tensor is a segment of another", ops.ErrUnsupported)
	case p.DataLocation == pb.External && (p.RawData != nil || !p.Typed.Absent()):
		return nil, fmt.Errorf("%w: the tensor has data both here and in another file", ErrFormat)
	case p.DataLocation == pb.External:
		b, err := d.bytes(p, typ.DType.PackedBytes(typ.Shape.Elems()))
		if err != nil {
			return nil, err
		}
		return d.raw(typ, b)
	case p.RawData != nil && !p.Typed.Absent():
		return nil, fmt.Errorf("%w: the tensor has both raw_data and %v", ErrFormat, p.Typed.Field)
	case p.RawData != nil || typ.Bytes() == 0 && p.Typed.Absent():
		return d.raw(typ, p.RawData)
	case p.Typed.Absent():
		return nil, fmt.Errorf("%w: the tensor has no data, want %d bytes for %v", ErrFormat, typ.Bytes(), typ)
	}
	return d.typed(typ, p.Typed)
}

// strings returns a tensor of strings, packed.
func (d *tensorDecoder) strings(p *pb.Tensor) (*tensor.Tensor, error) {
	if p.Segment != nil || p.DataLocation == pb.External || p.RawData != nil {
		return nil, fmt.Errorf("%w: a tensor of strings has its data elsewhere than in %v", ErrFormat, pb.StringData)
	}
	if !p.Typed.Absent() && p.Typed.Field != pb.StringData {
		return nil, fmt.Errorf("%w: the tensor's elements are in %v, want %v", ErrFormat, p.Typed.Field, pb.StringData)
	}
	like := *p
	like.DataType = pb.Uint8
	typ, err := d.typeOf(&like)
	if err != nil {
		return nil, err
	}
	n, err := p.Typed.Len()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if n != typ.Shape.Elems() {
		return nil, fmt.Errorf("%w: %d strings, want %d for shape %v", ErrFormat, n, typ.Shape.Elems(), typ.Shape)
	}
	v := tensor.Value{Kind: tensor.Strings, Shape: typ.Shape, Strings: make([]string, 0, n)}
	for s, err := range p.Typed.Strings() {
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		v.Strings = append(v.Strings, s)
	}
	return d.packed(v)
}

// packed packs a value if it keeps to the limits.
func (d *tensorDecoder) packed(v tensor.Value) (*tensor.Tensor, error) {
	t, err := v.Pack()
	if err != nil {
		return nil, err
	}
	if n := len(t.Raw); n > d.limit || n > d.left {
		return nil, fmt.Errorf("%v takes %d bytes, of those for constants %d are left", v.Kind, n, min(d.limit, d.left))
	}
	d.left -= len(t.Raw)
	return t, nil
}

// sparse returns the dense tensor of p: zeros but for the values at the indices,
// each of which is a place in the row-major tensor, or has its coordinates.
func (d *tensorDecoder) sparse(p *pb.SparseTensor) (*tensor.Tensor, error) {
	if p.Values == nil || p.Indices == nil {
		return nil, fmt.Errorf("%w: the sparse tensor has no values or no indices", ErrFormat)
	}
	whole := *p.Values
	whole.Dims = p.Dims
	typ, err := d.typeOf(&whole)
	if err != nil {
		return nil, err
	}
	values, err := d.tensor(p.Values)
	if err != nil {
		return nil, err
	}
	indices, err := d.tensor(p.Indices)
	if err != nil {
		return nil, err
	}
	n, per := values.Shape.Elems(), 1
	if len(indices.Shape) == 2 {
		per = len(typ.Shape)
	}
	if len(values.Shape) != 1 || indices.DType != tensor.Int64 || len(indices.Shape) < 1 || len(indices.Shape) > 2 || indices.Shape[0] != n || indices.Shape.Elems() != n*per {
		return nil, fmt.Errorf("%w: the sparse tensor has values %v and indices %v for %v", ErrFormat, values.Type, indices.Type, typ)
	}
	dims := typ.Shape
	if len(indices.Shape) == 1 {
		dims = tensor.Shape{typ.Shape.Elems()}
	}
	t, err := d.alloc(typ)
	if err != nil {
		return nil, err
	}
	size := typ.DType.Size()
	for i := range n {
		at := 0
		for j, length := range dims {
			v := indices.I64()[i*per+j]
			if v < 0 || v >= int64(length) {
				return nil, fmt.Errorf("%w: index %d of the sparse tensor is %d, want 0 to %d", ErrFormat, i, v, length-1)
			}
			at = at*length + int(v)
		}
		copy(t.Raw[at*size:], values.Raw[i*size:(i+1)*size])
	}
	return t, nil
}

// typeOf checks the type of a tensor, before anything of its size is allocated.
func (d *tensorDecoder) typeOf(p *pb.Tensor) (tensor.Type, error) {
	if !p.DataType.Known() {
		return tensor.Type{}, fmt.Errorf("%w: element type %v", ErrFormat, p.DataType)
	}
	dtype := tensor.DType(p.DataType)
	if !dtype.Valid() {
		return tensor.Type{}, fmt.Errorf("%w element type %v", ops.ErrUnsupported, p.DataType)
	}
	shape := make(tensor.Shape, len(p.Dims))
	for i, n := range p.Dims {
		shape[i] = int(n)
		if int64(shape[i]) != n {
			return tensor.Type{}, fmt.Errorf("%w: dimension %d is %d", tensor.ErrType, i, n)
		}
	}
	return tensor.CheckType(dtype, shape, d.limit)
}

// alloc returns a new tensor if the budget allows it.
func (d *tensorDecoder) alloc(typ tensor.Type) (*tensor.Tensor, error) {
	n := typ.Bytes()
	if n > d.left {
		return nil, fmt.Errorf("%v needs %d bytes, of those for constants %d are left", typ, n, d.left)
	}
	d.left -= n
	return tensor.New(typ.DType, typ.Shape...), nil
}

// raw returns the tensor of type typ whose elements are the bytes b.
func (d *tensorDecoder) raw(typ tensor.Type, b []byte) (*tensor.Tensor, error) {
	if want := typ.DType.PackedBytes(typ.Shape.Elems()); len(b) != want {
		return nil, fmt.Errorf("%w: the tensor has %d bytes, want %d for %v", ErrFormat, len(b), want, typ)
	}
	if typ.DType.Bits() < 8 {
		t, err := d.alloc(typ)
		if err != nil {
			return nil, err
		}
		typ.DType.Expand(t.Raw, b)
		return t, nil
	}
	if typ.DType == tensor.Bool {
		if i := slices.IndexFunc(b, func(x byte) bool { return x > 1 }); i >= 0 {
			return nil, fmt.Errorf("%w: element %d is %d, want 0 or 1", ErrFormat, i, b[i])
		}
	}
	if tensor.Aligned(b, typ.DType.Size()) {
		return &tensor.Tensor{Type: typ, Raw: b}, nil
	}
	t, err := d.alloc(typ)
	if err != nil {
		return nil, err
	}
	copy(t.Raw, b)
	return t, nil
}

// fieldOf gives the typed field for each element type.
var fieldOf = map[tensor.DType]pb.TypedField{
	tensor.Float32: pb.FloatData, tensor.Float64: pb.DoubleData, tensor.Int64: pb.Int64Data,
	tensor.Uint64: pb.Uint64Data, tensor.Uint32: pb.Uint64Data,
	tensor.Int32: pb.Int32Data, tensor.Int16: pb.Int32Data, tensor.Uint16: pb.Int32Data, tensor.Int8: pb.Int32Data,
	tensor.Uint8: pb.Int32Data, tensor.Bool: pb.Int32Data, tensor.Float16: pb.Int32Data, tensor.BFloat16: pb.Int32Data,
	tensor.Float8E4M3FN: pb.Int32Data, tensor.Float8E4M3FNUZ: pb.Int32Data, tensor.Float8E5M2: pb.Int32Data,
	tensor.Float8E5M2FNUZ: pb.Int32Data, tensor.Float8E8M0: pb.Int32Data, tensor.Float4E2M1: pb.Int32Data,
	tensor.Uint4: pb.Int32Data, tensor.Int4: pb.Int32Data, tensor.Uint2: pb.Int32Data, tensor.Int2: pb.Int32Data,
}

// typed returns the tensor of type typ whose elements are those of f.
func (d *tensorDecoder) typed(typ tensor.Type, f pb.Typed) (*tensor.Tensor, error) {
	if want := fieldOf[typ.DType]; f.Field != want {
		return nil, fmt.Errorf("%w: the tensor's elements are in %v, want %v for %v", ErrFormat, f.Field, want, typ)
	}
	n, err := f.Len()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	want := typ.Shape.Elems()
	if typ.DType.Bits() < 8 { // a number stands for a byte of elements
		want = typ.DType.PackedBytes(want)
	}
	if n != want {
		return nil, fmt.Errorf("%w: %v has %d elements, want %d for %v", ErrFormat, f.Field, n, want, typ)
	}
	t, err := d.alloc(typ)
	if err != nil {
		return nil, err
	}
	if typ.DType.Bits() < 8 {
		b := make([]byte, want)
		if err := fill(b, f, inRange[uint8]); err != nil {
			return nil, err
		}
		typ.DType.Expand(t.Raw, b)
		return t, nil
	}
	switch typ.DType {
	case tensor.Float32:
		err = fill(tensor.Cast[uint32](t.Raw), f, truncate)
	case tensor.Float64, tensor.Int64, tensor.Uint64:
		err = fill(tensor.Cast[uint64](t.Raw), f, truncate)
	case tensor.Uint32:
		err = fill(tensor.View[uint32](t), f, inRange[uint32])
	case tensor.Int32:
		err = fill(tensor.View[int32](t), f, truncate)
	case tensor.Int16:
		err = fill(tensor.View[int16](t), f, inRange[int16])
	case tensor.Uint16, tensor.Float16, tensor.BFloat16:
		err = fill(tensor.View[uint16](t), f, inRange[uint16])
	case tensor.Int8:
		err = fill(tensor.View[int8](t), f, inRange[int8])
	case tensor.Uint8, tensor.Float8E4M3FN, tensor.Float8E4M3FNUZ, tensor.Float8E5M2, tensor.Float8E5M2FNUZ, tensor.Float8E8M0:
		err = fill(t.Raw, f, inRange[uint8])
	case tensor.Bool:
		err = fill(t.Raw, f, func(v uint64) bool { return v <= 1 })
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

type integer interface {
	int8 | int16 | int32 | uint8 | uint16 | uint32 | uint64
}

// truncate takes the low bits of any number, as protobuf does for its own types.
func truncate(uint64) bool { return true }

// inRange reports whether v, sign-extended, is a T.
func inRange[T integer](v uint64) bool { return uint64(T(v)) == v }

// fill stores the elements of f, each of which must be valid, in dst.
func fill[T integer](dst []T, f pb.Typed, valid func(uint64) bool) error {
	i := 0
	for v, err := range f.Bits() {
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		if !valid(v) {
			return fmt.Errorf("%w: element %d of %v is %d, which is no %T", ErrFormat, i, f.Field, int64(v), dst[i])
		}
		dst[i] = T(v)
		i++
	}
	return nil
}
