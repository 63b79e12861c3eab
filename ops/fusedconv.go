package ops

import (
	"slices"

	"scission/engine/graph"
)

func init() {
	registerContrib("FusedConv", func(a *Attrs) graph.Op {
		f := &fusedConv{conv: convolutionOf(a), activation: fusedActivationOf(a)}
		f.composition = composition{"FusedConv", 2, 4, f.parts}
		return f
	})
}

// fusedConv is a convolution of ONNX Runtime with what it has taken in,
// activation(conv(x, w, bias) + residual).
//
//	x, w, bias: as convolution says
//	residual:   like the result, optional
type fusedConv struct {
	composition
	conv       *convolution
	activation fusedActivation
}

// parts puts the operator together.
func (f *fusedConv) parts(c *composer) []term {
	y := c.apply(f.conv, c.input(convX), c.input(convW), c.input(convBias))
	if z := c.input(convBias + 1); z != 0 {
		y = c.op("Add", nil, y, z)
	}
	return []term{f.activation.apply(c, y)}
}

// Rewrite makes the node a convolution where that can clamp as the activation
// does.
func (f *fusedConv) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	next := *f.conv
	next.absorbed = []string{f.name}
	switch f.activation.name {
	case "":
	case "Relu":
		next.clamped, next.lo, next.hi = true, 0, inf
	default:
		return false, nil
	}
	in := make([]*graph.Value, convInputs)
	copy(in, n.In[:min(len(n.In), convBias+1)])
	if len(n.In) > convBias+1 && n.In[convBias+1] != nil {
		next.residual = true
		in[convResidual] = n.In[convBias+1]
	}
	if n.Out[0].DType != n.In[convX].DType || !slices.Contains(floatTypes[:1], n.Out[0].DType) {
		return false, nil
	}
	if out, err := next.Infer(graph.Facts(in)); err != nil || !out[0].Type.Equal(n.Out[0].Type) {
		return false, nil
	}
	e.Set(n, &next, in)
	return true, nil
}
