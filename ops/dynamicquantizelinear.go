package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/qconv"
)

func init() {
	register("DynamicQuantizeLinear", 11, func(*Attrs) graph.Op { return dynamicQuantizeLinear{} })
}

// dynamicQuantizeLinear quantises x to uint8 by its own range, zero included.
//
//	x:     float32, any shape
//	y:     uint8, x's shape
//	scale: float32, scalar: (max(0, max x) - min(0, min x)) / 255
//	zero:  uint8, scalar: saturate(round(-min(0, min x) / scale))
//
// A scale of 0, which x of zeros gives, is taken as 1. A NaN in x is left out of the range.
//
// Source: ONNX DynamicQuantizeLinear-11.
type dynamicQuantizeLinear struct{}

func (dynamicQuantizeLinear) String() string { return "DynamicQuantizeLinear" }

func (dynamicQuantizeLinear) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if err := checkType("x", in[0].DType, tensor.Float32); err != nil {
		return nil, err
	}
	return []graph.Fact{
		{Type: tensor.Type{DType: tensor.Uint8, Shape: in[0].Shape}},
		{Type: tensor.Type{DType: tensor.Float32}},
		{Type: tensor.Type{DType: tensor.Uint8}},
	}, nil
}

func (dynamicQuantizeLinear) FLOPs(in, out []graph.Fact) int64 { return flops(5, in[0].Shape.Elems()) }

func (dynamicQuantizeLinear) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	n := in[0].Shape.Elems()
	find, write := chunks(n, vectorTime), chunks(n, vectorTime)
	const ends = 2 // of a range
	// total is the range of all chunks, as scale and zero.
	total := func(x *graph.Exec) (scale float32, zero int32) {
		lo, hi := float32(0), float32(0)
		parts := tensor.Cast[float32](x.Temp)[:ends*find]
		for i := 0; i < len(parts); i += ends {
			lo, hi = min2(lo, parts[i]), max2(hi, parts[i+1])
		}
		if scale = (hi - lo) / 255; scale == 0 {
			scale = 1
		}
		return scale, quantum(-lo/scale, 0, 0, 255)
	}
	return graph.Kernel{Info: qconv.Info(), Temp: 4 * ends * find, Scratch: 2 * castBlock, Steps: []graph.Step{
		{N: find, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
			from, to := span(n, find, i, 1)
			parts := tensor.Cast[float32](x.Temp)
			parts[ends*i], parts[ends*i+1] = qconv.Extremes(floats(in[0])[from:to], 0, 0)
			return nil
		}},
		{N: write, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
			scale, zero := total(x)
			if i == 0 {
				if out[1] != nil {
					out[1].F32()[0] = scale
				}
				if out[2] != nil {
					out[2].Raw[0] = byte(zero)
				}
			}
			if out[0] != nil {
				from, to := span(n, write, i, castBlock)
				for ; from < to; from += castBlock {
					x, scratch := floats(in[0])[from:min(from+castBlock, to)], tensor.Cast[int16](x.Scratch)
					quantiseTo(out[0], from, x, scale, zero, scratch)
				}
			}
			return nil
		}},
	}}, nil
}
