package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("GroupNormalization", 18, func(a *Attrs) graph.Op { return makeGroupNormalization(a, false) })
	register("GroupNormalization", 21, func(a *Attrs) graph.Op { return makeGroupNormalization(a, true) })
}

func makeGroupNormalization(a *Attrs, perChannel bool) graph.Op {
	a.Int("stash_type", 1)
	groups := a.Int("num_groups", 0)
	if groups <= 0 {
		a.Fail("attribute %q is %d, want a positive number", "num_groups", groups)
	}
	return groupNormalization{groups, perChannel, centering{epsilon: float64(a.Float("epsilon", 1e-5))}}
}

// groupNormalization is y = (x - mean) / sqrt(variance + epsilon) * scale +
// bias, where mean and variance are those of a group of channels of an image.
// It is computed in float32, or float64 for that type, whatever stash_type says.
//
//	x, y:        [N C ...] floating point
//	scale, bias: [C], or until opset 20 [num_groups]; x's type
//
// Source: ONNX GroupNormalization-18, -21.
type groupNormalization struct {
	groups     int
	perChannel bool
	centering
}

func (g groupNormalization) String() string { return fmt.Sprintf("GroupNormalization[%d]", g.groups) }

func (g groupNormalization) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(g, d, in)
	}
	return inferChannels(in, func(x tensor.Shape) (int, error) {
		if x[1]%g.groups != 0 {
			return 0, fmt.Errorf("x%v has %d channels, want a multiple of %d", x, x[1], g.groups)
		}
		if g.perChannel {
			return x[1], nil
		}
		return g.groups, nil
	})
}

func (groupNormalization) FLOPs(in, out []graph.Fact) int64 {
	return flops(normalizationFLOPs, in[0].Shape.Elems())
}

func (g groupNormalization) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(g, d, in, out)
	}
	images, c, hw := planes(in[0].Shape)
	each := c / g.groups
	return g.kernel(in[0].DType, images*g.groups, each*hw, func(in, out []*tensor.Tensor, r int, _, _ float64) {
		for i := range each {
			j := r % g.groups
			if g.perChannel {
				j = j*each + i
			}
			scaleRow(out[0], (r*each+i)*hw, hw, in[1], in[2], j)
		}
	}), nil
}
