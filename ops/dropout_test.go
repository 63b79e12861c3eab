package ops

import (
	"errors"
	"slices"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func TestDropoutAtInferenceIsIdentityWithAFullMask(t *testing.T) {
	for _, d := range []tensor.DType{tensor.Float32, tensor.Float64, tensor.Float16, tensor.BFloat16} {
		x := numbered(d, 300, 700)
		one := map[tensor.DType][]byte{
			tensor.Float32: {0, 0, 0x80, 0x3f}, tensor.Float64: {0, 0, 0, 0, 0, 0, 0xf0, 0x3f},
			tensor.Float16: {0, 0x3c}, tensor.BFloat16: {0x80, 0x3f},
		}[d]
		for version, mask := range map[int][]byte{7: one, 10: {1}, 12: {1}, 22: {1}} {
			y := apply(t, build(t, "Dropout", version), x)
			if !y[0].Identical(x) {
				t.Errorf("Dropout-%d changes x", version)
			}
			if want := slices.Repeat(mask, x.Shape.Elems()); !slices.Equal(y[1].Raw, want) || !y[1].Shape.Equal(x.Shape) {
				t.Errorf("Dropout-%d of %v: the mask is not all ones", version, d)
			}
		}
	}
}

func TestDropoutRefusesToTrain(t *testing.T) {
	op := build(t, "Dropout", 13, "seed", 1)
	constant := func(t *tensor.Tensor) graph.Fact { return graph.Fact{Type: t.Type, Const: t} }
	x := graph.Fact{Type: tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{2}}}
	half, zero := constant(tensor.Scalar[float32](0.5)), constant(tensor.Scalar[float32](0))
	yes, no := constant(tensor.Scalar(true)), constant(tensor.Scalar(false))
	unknown := graph.Fact{Type: yes.Type}
	for _, c := range []struct {
		name            string
		ratio, training graph.Fact
		ok              bool
	}{
		{"not training", half, no, true},
		{"default", half, graph.Fact{}, true},
		{"training without loss", zero, yes, true},
		{"training", half, yes, false},
		{"training with the default ratio", graph.Fact{}, yes, false},
		{"perhaps training", half, unknown, false},
	} {
		_, err := op.Infer([]graph.Fact{x, c.ratio, c.training})
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: got %v, want ok %v", c.name, err, c.ok)
		}
	}
}

func TestDropoutWhoseMaskIsReadStays(t *testing.T) {
	g := &graph.Graph{}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{2, 3}})
	vs, err := g.Add("dropout", build(t, "Dropout", 13), nil, []*graph.Value{x}, "y", "mask")
	if err != nil {
		t.Fatal(err)
	}
	ys, err := g.Add("flatten", build(t, "Flatten", 13), nil, vs[:1], "z")
	if err != nil {
		t.Fatal(err)
	}
	g.Outputs = []*graph.Value{ys[0], vs[1]}
	read := g.Clone()
	rewrite(t, read)
	if len(read.Nodes) != 2 {
		t.Errorf("%d nodes are left, want 2", len(read.Nodes))
	}
	g.Outputs = ys
	rewrite(t, g)
	if len(g.Nodes) != 1 {
		t.Errorf("%d nodes are left where nobody reads the mask, want 1", len(g.Nodes))
	}
}

func TestDropoutForItsMaskAloneStays(t *testing.T) {
	g := &graph.Graph{}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{2, 3}})
	vs, err := g.Add("dropout", build(t, "Dropout", 13), nil, []*graph.Value{x}, "", "mask")
	if err != nil {
		t.Fatal(err)
	}
	g.Outputs = vs[1:]
	rewrite(t, g)
	if len(g.Nodes) != 1 {
		t.Errorf("%d nodes are left, want 1", len(g.Nodes))
	}
}
