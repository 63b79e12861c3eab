package ops

import (
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// mixed returns op for floating-point inputs of several types, if they are: these
// are brought to float32, or float64 if there is one among them, and the results to
// the type of input like. An operator whose inputs may differ so begins Infer and
// Compile with
//
//	if m := mixed(op, in, like); m != nil {
//		return m.Infer(in)
//	}
//
// in front of what halves says, which is enough for float32 beside the 16-bit type
// of input like.
func mixed(op graph.Op, in []graph.Fact, like int) *composition {
	var types []tensor.DType
	for _, f := range in {
		if slices.Contains(realTypes, f.DType) && !slices.Contains(types, f.DType) {
			types = append(types, f.DType)
		}
	}
	if len(in) <= like || len(types) < 2 {
		return nil
	}
	if len(types) == 2 && slices.Contains(types, tensor.Float32) && slices.Contains(halfTypes, in[like].DType) {
		return nil
	}
	to := tensor.Float32
	if slices.Contains(types, tensor.Float64) {
		to = tensor.Float64
	}
	return &composition{op.String(), 0, len(in), func(c *composer) []term {
		wide := make([]term, len(in))
		for i, f := range in {
			if wide[i] = c.input(i); slices.Contains(types, f.DType) {
				wide[i] = c.as(to, wide[i])
			}
		}
		var out []term
		for _, y := range c.applyAll(op, wide...) {
			out = append(out, c.as(in[like].DType, y))
		}
		return out
	}}
}
