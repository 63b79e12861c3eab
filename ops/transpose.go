package ops

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/reorder"
)

func init() {
	register("Transpose", 1, func(a *Attrs) graph.Op { return transpose{perm: a.Ints("perm")} })
}

// transpose is y = x with its dimensions in another order: dimension i of y is
// dimension perm[i] of x. Without perm the order is reversed.
//
// Channels go to the end from NCHW16c as they lie, and come from there to
// NCHW16c where a reader may want them so.
//
//	x, y: any type, any shape
//
// Source: ONNX Transpose-1, -13, -21, -23, -24, -25.
type transpose struct {
	perm   []int
	blocks bool // y is given in NCHW16c
}

func (t transpose) String() string {
	if t.perm == nil {
		return "Transpose"
	}
	return fmt.Sprintf("Transpose%v", t.perm)
}

// order returns the permutation for x.
func (t transpose) order(x tensor.Shape) ([]int, error) {
	if t.perm == nil {
		p := make([]int, len(x))
		for i := range p {
			p[i] = len(p) - 1 - i
		}
		return p, nil
	}
	set, err := axisSet(t.perm, len(x))
	if err != nil {
		return nil, fmt.Errorf("perm: %w", err)
	}
	negative := slices.ContainsFunc(t.perm, func(d int) bool { return d < 0 })
	if negative || slices.Contains(set, false) {
		return nil, fmt.Errorf("perm is %v, want the dimensions of x%v in some order", t.perm, x)
	}
	return t.perm, nil
}

func (t transpose) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	x := in[0]
	perm, err := t.order(x.Shape)
	if err != nil {
		return nil, err
	}
	shape := make(tensor.Shape, len(perm))
	for i, d := range perm {
		shape[i] = x.Shape[d]
	}
	return []graph.Fact{{Type: tensor.Type{DType: x.DType, Shape: shape}}}, nil
}

// Rewrite takes in a transpose before it, and removes the node if it leaves
// the order as it is.
func (t transpose) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	perm, err := t.order(n.In[0].Shape)
	if err != nil {
		return false, err
	}
	if slices.IsSorted(perm) {
		return bypass(e, n), nil
	}
	p := e.Producer(n.In[0])
	if p == nil {
		return false, nil
	}
	first, ok := p.Op.(transpose)
	if !ok {
		return false, nil
	}
	before, err := first.order(p.In[0].Shape)
	if err != nil {
		return false, err
	}
	both := make([]int, len(perm))
	for i, d := range perm {
		both[i] = before[d]
	}
	e.Set(n, transpose{perm: both}, []*graph.Value{p.In[0]})
	return true, nil
}

// Fuse lets the node give NCHW16c if a reader can work on that.
func (t transpose) Fuse(e *graph.Editor, n *graph.Node) (bool, error) {
	if t.blocks || !makesBlocks(n.In[0].Type, t.perm) || !slices.ContainsFunc(e.Users(n.Out[0]), func(u *graph.Node) bool {
		_, ok := u.Op.(graph.Layouter)
		return ok
	}) {
		return false, nil
	}
	t.blocks = true
	e.Set(n, t, n.In)
	return true, nil
}

func (t transpose) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	want, give = make([]graph.Layout, 1), make([]graph.Layout, 1)
	if t.blocks {
		give[0] = nchw16c{}
	} else if perm, err := t.order(in[0].Shape); err == nil && reordersBlocks(in[0], perm) {
		want[0] = nchw16c{}
	}
	return want, give
}

func (t transpose) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	x := in[0].Shape
	perm, err := t.order(x)
	if err != nil {
		return graph.Kernel{}, err
	}
	if x.Elems() == 0 || !reorders(x, perm) {
		return view, nil
	}
	switch {
	case in[0].Layout != nil:
		n, c, hw := planes(x)
		return channelsLastKernel(n, c, hw, false), nil
	case out[0].Layout != nil:
		n, c, hw := planes(out[0].Shape)
		return channelsLastKernel(n, c, hw, true), nil
	}
	k := reorder.New(x, perm, in[0].DType.Size())
	return graph.Kernel{Info: k.Info(), Steps: []graph.Step{{N: k.Chunks(0), Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		k.Run(0, i, nil, nil, in[0].Raw, out[0].Raw)
		return nil
	}}}}, nil
}

// reorders reports whether perm changes the order of dimensions longer than 1:
// only then elements move.
func reorders(x tensor.Shape, perm []int) bool {
	last := 0
	for _, d := range perm {
		if x[d] != 1 {
			if d < last {
				return true
			}
			last = d
		}
	}
	return false
}
