package ops

import (
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

// In training an element is dropped with the probability ratio, and the others are
// divided by 1 - ratio.
func TestDropoutDropsInTrainingAlone(t *testing.T) {
	x := tensor.New(tensor.Float32, 100, 100)
	for i := range x.F32() {
		x.F32()[i] = 3
	}
	op := build(t, "Dropout", 13, "seed", 1)
	for _, c := range []struct {
		ratio, training any
		want            float64 // ratio that is dropped
	}{
		{tensor.Scalar[float32](0.25), tensor.Scalar(true), 0.25},
		{nil, tensor.Scalar(true), 0.5},
		{tensor.Scalar[float32](0.25), tensor.Scalar(false), 0},
		{tensor.Scalar[float32](0), tensor.Scalar(true), 0},
		{tensor.Scalar[float32](0.25), nil, 0},
	} {
		out := apply(t, op, x, c.ratio, c.training)
		dropped := 0.0
		for i, keep := range tensor.View[bool](out[1]) {
			want := float32(3 / (1 - c.want))
			if !keep {
				dropped, want = dropped+1, 0
			}
			if y := out[0].F32()[i]; y != want {
				t.Fatalf("ratio %v: element %d is %v, want %v", c.want, i, y, want)
			}
		}
		// Ten thousand draws stray by 0.005 typically.
		if got := dropped / 1e4; got < c.want-0.03 || got > c.want+0.03 || c.want == 0 && got > 0 {
			t.Errorf("%v of all elements are dropped, want %v", got, c.want)
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
