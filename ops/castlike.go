package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("CastLike", 15, func(a *Attrs) graph.Op {
		return castLike{castAttrs(a)}
	})
}

// castLike is x in the element type of another value.
//
//	x: any type, any shape
//	target: any shape, of which only the type counts
//	y: target's type, x's shape; see cast
//
// Source: ONNX CastLike-15, -19, -21, -23, -24, -25.
type castLike struct{ how cast }

// Packed is the operator for strings.
func (castLike) Packed() graph.Op { return castStrings(tensor.Undefined) }

func (castLike) String() string { return "CastLike" }

func (castLike) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[1].DType, Shape: in[0].Shape}}}, nil
}

// Rewrite makes a Cast of the node, which does not read target.
func (c castLike) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	e.Set(n, c.to(n.In[1].DType), n.In[:1])
	return true, nil
}

func (c castLike) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return c.to(out[0].DType).Compile(in[:1], out)
}

// to returns the Cast to a type.
func (c castLike) to(d tensor.DType) cast {
	c.how.to = d
	return c.how
}
