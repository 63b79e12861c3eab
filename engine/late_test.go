package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops"
)

// chosen is y = the elements of relu(x) that are not zero, and twice those,
// behind which a sum over the first n of them makes more late.
func chosen(t *testing.T) *graph.Graph {
	t.Helper()
	g := &graph.Graph{Name: "chosen"}
	node := func(op string, in []*graph.Value, attrs ...graph.Attr) *graph.Value {
		o, err := ops.New("", op, 13, attrs)
		if err != nil {
			t.Fatal(err)
		}
		v, err := g.Add(op, o, nil, in, op+"_y")
		if err != nil {
			t.Fatal(err)
		}
		return v[0]
	}
	constant := func(v int64) *graph.Value { return graph.Constant("", tensor.Of([]int64{v}, 1)) }
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{12}})
	n := g.Input("n", tensor.Type{DType: tensor.Int64, Shape: tensor.Shape{1}})
	r := node("Relu", []*graph.Value{x})
	at := node("Squeeze", []*graph.Value{node("NonZero", []*graph.Value{r}), constant(0)})
	y := node("Gather", []*graph.Value{r, at})
	twice := node("Add", []*graph.Value{y, y})
	first := node("Slice", []*graph.Value{twice, constant(0), n})
	g.Outputs = []*graph.Value{r, y, node("Identity", []*graph.Value{first})}
	return g
}

func TestLateValuesHaveTheTypesOfEachRun(t *testing.T) {
	plan, err := engine.Compile(chosen(t), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := plan.NewSession()
	// More shapes than a plan keeps, twice.
	for round := range 26 {
		positive := round % 13
		x, want := tensor.New(tensor.Float32, 12), []float32{}
		for i := range x.F32() {
			x.F32()[i] = -1
			if i < positive {
				x.F32()[i] = float32(round + i + 1)
				want = append(want, x.F32()[i])
			}
		}
		n := min(3, positive)
		out, err := s.Run(context.Background(), []*tensor.Tensor{x, tensor.Of([]int64{3}, 1)})
		if err != nil {
			t.Fatal(err)
		}
		if !out[1].Identical(tensor.Of(want, positive)) {
			t.Fatalf("round %d: got %v, want %v", round, out[1].F32(), want)
		}
		if out[2].Shape.Elems() != n || n > 0 && out[2].F32()[n-1] != 2*want[n-1] {
			t.Fatalf("round %d: got %v, want twice the first %d of %v", round, out[2].F32(), n, want)
		}
		if out[0].F32()[11] != max(0, x.F32()[11]) {
			t.Fatalf("round %d: the first result is %v", round, out[0].F32())
		}
	}
}

func TestLateResultsAreMarked(t *testing.T) {
	plan, err := engine.Compile(chosen(t), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, late := range []bool{false, true, true} {
		if plan.Outputs()[i].Late != late {
			t.Errorf("output %d: late is %v, want %v", i, plan.Outputs()[i].Late, late)
		}
	}
	nodes := plan.Nodes()
	if last := nodes[len(nodes)-1]; last.Op != "late" || len(last.Layers) != 6 {
		t.Errorf("the last node of the plan is %+v, want one that stands for the 6 late layers", last)
	}
}

func TestLateValuesKeepToTheMemoryLimit(t *testing.T) {
	g := &graph.Graph{Name: "huge"}
	fill, err := ops.New("", "ConstantOfShape", 13, nil)
	if err != nil {
		t.Fatal(err)
	}
	y, err := g.Add("fill", fill, nil, []*graph.Value{g.Input("shape", tensor.Type{DType: tensor.Int64, Shape: tensor.Shape{2}})}, "y")
	if err != nil {
		t.Fatal(err)
	}
	g.Outputs = y
	plan, err := engine.Compile(g, engine.Options{Memory: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, shape := range [][]int64{{1 << 10, 1 << 10}, {1 << 14, 1 << 14}, {1 << 30, 1 << 30}} {
		_, err = plan.NewSession().Run(context.Background(), []*tensor.Tensor{tensor.Of(shape, 2)})
		if !errors.Is(err, tensor.ErrType) {
			t.Errorf("%v: got %v, want ErrType", shape, err)
		}
	}
}

func TestRunsTogetherWithLateValuesAreThoseOfEach(t *testing.T) {
	plan, err := engine.Compile(chosen(t), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	runs := make([]engine.Run, 4)
	for i := range runs {
		x := tensor.New(tensor.Float32, 12)
		for k := range i {
			x.F32()[3*k] = float32(i)
		}
		runs[i] = engine.Run{Session: plan.NewSession(), Context: context.Background(), In: []*tensor.Tensor{x, tensor.Of([]int64{12}, 1)}}
	}
	engine.RunTogether(runs)
	for i, r := range runs {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if got := r.Out[1].F32(); len(got) != i || i > 0 && got[i-1] != float32(i) {
			t.Errorf("run %d of %d gives %v, want %d times %d", i, len(runs), got, i, i)
		}
	}
}

// untold is an operator that never tells the type of its result.
type untold struct{}

func (untold) String() string { return "Untold" }

func (untold) Infer([]graph.Fact) ([]graph.Fact, error) {
	return make([]graph.Fact, 1), graph.ErrLate
}

func (untold) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return graph.Kernel{}, errors.New("compiled")
}

func TestTypesThatStayUnknownAreAnError(t *testing.T) {
	g := &graph.Graph{Name: "untold"}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{2}})
	y, err := g.Add("stubborn", untold{}, nil, []*graph.Value{x}, "y")
	if err != nil {
		t.Fatal(err)
	}
	g.Outputs = y
	plan, err := engine.Compile(g, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = plan.NewSession().Run(context.Background(), []*tensor.Tensor{tensor.New(tensor.Float32, 2)})
	if err == nil || !strings.Contains(err.Error(), "stubborn") || !strings.Contains(err.Error(), "not known even with all inputs") {
		t.Errorf("got %v, want an error that names the node and says that its type is not known", err)
	}
}
