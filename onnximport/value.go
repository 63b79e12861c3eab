package onnximport

import (
	"fmt"
	"math"
	"strings"

	"scission/engine/tensor"
	"scission/onnximport/internal/pb"
	"scission/ops"
)

// Read reads a value of the kind that the input or output has, of at most limit
// bytes: a TensorProto, or for a sequence, an optional or a map such a message,
// as the files of an ONNX test case hold them. What is no tensor of numbers is
// packed, see tensor.Value. A tensor shares memory with data where the elements
// lie aligned in it, so data must not be changed afterwards.
func (in Input) Read(data []byte, limit int) (t *tensor.Tensor, name string, err error) {
	d := tensorDecoder{limit: limit, left: math.MaxInt}
	fail := func(err error) (*tensor.Tensor, string, error) {
		return nil, "", fmt.Errorf("onnximport: %w: %w", ErrFormat, err)
	}
	switch in.kind {
	case kindSequence:
		var p pb.Sequence
		if err := pb.Decode(data, &p, pb.Limits{}); err != nil {
			return fail(err)
		}
		name = p.Name
		t, err = d.sequence(&p)
	case kindOptional:
		var p pb.Optional
		if err := pb.Decode(data, &p, pb.Limits{}); err != nil {
			return fail(err)
		}
		name = p.Name
		t, err = d.optional(&p)
	case kindMap:
		var p pb.Map
		if err := pb.Decode(data, &p, pb.Limits{}); err != nil {
			return fail(err)
		}
		name = p.Name
		t, err = d.mapping(&p)
	default:
		var p pb.Tensor
		if err := pb.Decode(data, &p, pb.Limits{}); err != nil {
			return fail(err)
		}
		name = p.Name
		t, err = d.tensor(&p)
	}
	if err != nil {
		return nil, "", fmt.Errorf("onnximport: value %q: %w", name, err)
	}
	return t, strings.Clone(name), nil
}

// The kinds of values that are packed, as an Input names them.
const (
	kindSequence = "a sequence"
	kindOptional = "an optional"
	kindMap      = "a map"
)

func (d *tensorDecoder) sequence(p *pb.Sequence) (*tensor.Tensor, error) {
	v := tensor.Value{Kind: tensor.Sequence}
	var err error
	add := func(t *tensor.Tensor, failed error) {
		if failed != nil && err == nil {
			err = failed
		}
		v.Items = append(v.Items, t)
	}
	for i := range p.Tensors {
		add(d.tensor(&p.Tensors[i]))
	}
	for i := range p.Sequences {
		add(d.sequence(&p.Sequences[i]))
	}
	for i := range p.Maps {
		add(d.mapping(&p.Maps[i]))
	}
	for i := range p.Optionals {
		add(d.optional(&p.Optionals[i]))
	}
	if err != nil {
		return nil, err
	}
	return d.packed(v)
}

func (d *tensorDecoder) optional(p *pb.Optional) (*tensor.Tensor, error) {
	v := tensor.Value{Kind: tensor.Optional}
	var t *tensor.Tensor
	var err error
	switch {
	case p.Tensor != nil:
		t, err = d.tensor(p.Tensor)
	case p.Sequence != nil:
		t, err = d.sequence(p.Sequence)
	case p.Map != nil:
		t, err = d.mapping(p.Map)
	case p.Optional != nil:
		t, err = d.optional(p.Optional)
	}
	if err != nil {
		return nil, err
	}
	if t != nil {
		v.Items = append(v.Items, t)
	}
	return d.packed(v)
}

// mapping returns a map whose values are single numbers or strings, with its keys.
func (d *tensorDecoder) mapping(p *pb.Map) (*tensor.Tensor, error) {
	keys := tensor.Of(p.Keys, len(p.Keys))
	if p.KeyType == pb.String {
		var err error
		if keys, err = d.packed(tensor.Value{Kind: tensor.Strings, Shape: tensor.Shape{len(p.StringKeys)}, Strings: p.StringKeys}); err != nil {
			return nil, err
		}
	}
	if p.Values == nil || len(p.Values.Tensors) != 1 {
		return nil, fmt.Errorf("%w: a map whose values are not in one tensor", ops.ErrUnsupported)
	}
	values, err := d.tensor(&p.Values.Tensors[0])
	if err != nil {
		return nil, err
	}
	return d.packed(tensor.Value{Kind: tensor.Map, Items: []*tensor.Tensor{keys, values}})
}
