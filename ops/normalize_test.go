package ops

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

func TestBatchNormalizationIsItsDefinition(t *testing.T) {
	atEachLevel(t, "TestBatchNormalizationIsItsDefinition", func(t *testing.T) {
		for i, shape := range [][]int{{2, 20, 5, 7}, {1, 32, 9}, {3, 5}, {1, 3, 2, 3, 4}, {0, 4, 2, 2}} {
			r := source(uint64(i))
			x := reals(r, shape...)
			p := [4]*tensor.Tensor{}
			for j := range p {
				p[j] = reals(r, shape[1])
			}
			for j, v := range p[3].F32() {
				p[3].F32()[j] = v * v
			}
			const epsilon = float32(1e-3)
			op := build(t, "BatchNormalization", 15, "epsilon", epsilon, "momentum", float32(0.5))
			want, magnitude := make([]float64, x.Shape.Elems()), make([]float64, x.Shape.Elems())
			for j := range want {
				_, _, size := planes(shape)
				c := j / size % shape[1]
				gamma, beta, mean, variance := tensortest.At(p[0], c), tensortest.At(p[1], c), tensortest.At(p[2], c), tensortest.At(p[3], c)
				s := gamma / math.Sqrt(variance+float64(epsilon))
				want[j] = (tensortest.At(x, j)-mean)*s + beta
				magnitude[j] = (math.Abs(tensortest.At(x, j))+math.Abs(mean))*math.Abs(s) + math.Abs(beta)
			}
			constants := []any{x, known{p[0]}, known{p[1]}, known{p[2]}, known{p[3]}}
			y := apply(t, op, constants...)[0]
			checkClose(t, x.Type.String(), y, want, magnitude, 4)
			if live := apply(t, op, x, p[0], p[1], p[2], p[3])[0]; !live.Identical(y) {
				t.Errorf("x%v: parameters that come with the run change bits", shape)
			}
			checkClose(t, x.Type.String()+" in float64", apply(t, op, wide(x), wide(p[0]), wide(p[1]), wide(p[2]), wide(p[3]))[0], want, magnitude, 4)
			for _, in := range [][]any{constants, {x, p[0], p[1], p[2], p[3]}} {
				packed, blocked := applyBlocked(t, op, in...)
				if blocked != blockable(x.Type) || !packed.Identical(y) {
					t.Errorf("x%v: blocked is %v, want the same bits in NCHW16c", shape, blocked)
				}
			}
		}
	})
}

func TestBatchNormalizationRefusesWhatDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		version int
		attr    graph.Attr
	}{
		{7, graph.Attr{Name: "spatial", Value: int64(0)}},
		{9, graph.Attr{Name: "training_mode", Value: int64(0)}},
	} {
		if _, err := New("", "BatchNormalization", c.version, []graph.Attr{c.attr}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("opset %d, %v: got %v, want ErrUnsupported", c.version, c.attr, err)
		}
	}
	op := build(t, "BatchNormalization", 15)
	checkShapes(t, []shapeCase{
		{"fits", op, []any{float(1, 2, 3), float(2), float(2), float(2), float(2)}, tensor.Shape{1, 2, 3}},
		{"channels", op, []any{float(1, 2, 3), float(2), float(2), float(3), float(2)}, nil},
		{"rank", op, []any{float(2), float(2), float(2), float(2), float(2)}, nil},
		{"missing", op, []any{float(1, 2), float(2), nil, float(2), float(2)}, nil},
		{"types", op, []any{float(1, 2), tensor.New(tensor.Int32, 2), float(2), float(2), float(2)}, nil},
	})
}

func TestSoftmaxIsItsDefinition(t *testing.T) {
	atEachLevel(t, "TestSoftmaxIsItsDefinition", func(t *testing.T) {
		for i, c := range []struct {
			x             []int
			version, axis int
			rows, along   int // for versions that flatten
		}{
			{[]int{3, 40}, 13, -1, 0, 0},
			{[]int{2, 3, 5}, 13, 1, 0, 0},
			{[]int{2, 3, 5}, 13, 0, 0, 0},
			{[]int{1000}, 13, 0, 0, 0},
			{[]int{2, 0}, 13, 1, 0, 0},
			{[]int{2, 3, 5}, 11, 1, 2, 15},
			{[]int{2, 3, 5}, 7, 2, 6, 5},
			{[]int{2, 3, 5}, 11, 0, 1, 30},
			{[]int{2, 3, 5}, 11, -1, 6, 5},
			{[]int{2, 3}, 7, 2, 6, 1},
		} {
			x := reals(source(uint64(i)), c.x...)
			for j := range x.F32() {
				x.F32()[j] *= 90 // exponentials of it overflow
			}
			op := build(t, "Softmax", c.version, "axis", c.axis)
			shape, axis := tensor.Shape(c.x), c.axis
			if c.version < 13 {
				shape, axis = tensor.Shape{c.rows, c.along}, 1
			}
			if axis < 0 {
				axis += len(shape)
			}
			want := make([]float64, x.Shape.Elems())
			for j, at := range coordinates(shape) {
				sum, v := 0.0, tensortest.At(x, j)
				for k := range shape[axis] {
					at[axis] = k
					sum += math.Exp(tensortest.At(x, index(shape, at...)) - v)
				}
				want[j] = 1 / sum
			}
			y := apply(t, op, x)[0]
			if !y.Type.Equal(x.Type) {
				t.Fatalf("%s: got %v, want %v", op, y.Type, x.Type)
			}
			z := apply(t, op, wide(x))[0]
			for j, w := range want {
				if g := tensortest.At(y, j); math.Abs(g-w) > 1e-5*w+1e-37 {
					t.Fatalf("%s of %v: element %d is %v, want %v", op, x.Type, j, g, w)
				}
				if g := tensortest.At(z, j); math.Abs(g-w) > 1e-12*w {
					t.Fatalf("%s of float64: element %d is %v, want %v", op, j, g, w)
				}
			}
		}
	})
}

// The bits of a row do not depend on whether its elements lie together.
func TestSoftmaxHasTheSameBitsAlongEachAxis(t *testing.T) {
	x := reals(source(5), 7, 45)
	rows := apply(t, build(t, "Softmax", 13, "axis", 1), x)[0]
	columns := apply(t, build(t, "Softmax", 13, "axis", 0), turned(x))[0]
	if !turned(columns).Identical(rows) {
		t.Error("softmax along axis 0 of the transpose differs")
	}
}

func TestSoftmaxAxisMustExist(t *testing.T) {
	checkShapes(t, []shapeCase{
		{"beyond", build(t, "Softmax", 13, "axis", 2), []any{float(2, 3)}, nil},
		{"before", build(t, "Softmax", 13, "axis", -3), []any{float(2, 3)}, nil},
		{"flat beyond", build(t, "Softmax", 11, "axis", 3), []any{float(2, 3)}, nil},
		{"default", build(t, "Softmax", 11), []any{float(2, 3)}, tensor.Shape{2, 3}},
	})
}

// An activation that keeps zeros goes into the BatchNormalization before it
// and changes no bit, in either layout; one that does not would spoil the lanes
// of channels that do not exist.
func TestBatchNormalizationAbsorbsActivations(t *testing.T) {
	atEachLevel(t, "TestBatchNormalizationAbsorbsActivations", func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 5))
		for _, c := range []struct {
			op       graph.Op
			absorbed bool
		}{
			{build(t, "Relu", 14), true},
			{build(t, "Clip", 7, "min", float32(-0.5), "max", float32(0.75)), true},
			{build(t, "Clip", 7, "min", float32(0.1)), false},
			{build(t, "Sigmoid", 13), false},
		} {
			for _, shape := range [][]int{{2, 20, 7, 9}, {1, 32, 40, 41}} {
				g := &graph.Graph{}
				x := reals(r, shape...)
				y := add(t, g, c.op, norm(t, r, g, g.Input("x", x.Type)))
				g.Outputs = []*graph.Value{y}
				fused := rewritten(t, g)
				if (len(fused.Nodes) == 1) != c.absorbed {
					t.Errorf("%s: %d nodes, want absorbed %v", c.op, len(fused.Nodes), c.absorbed)
				}
				run := []*tensor.Tensor{x}
				want := runGraph(t, g, run)[0]
				for _, blocked := range []bool{false, true} {
					if !runGraphFrom(t, fused, run, blocked)[0].Identical(want) {
						t.Errorf("%s, blocked %v: the bits differ", c.op, blocked)
					}
				}
			}
		}
	})
}
