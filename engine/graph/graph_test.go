package graph

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"scission/engine/tensor"
)

// sum adds its float32 inputs element by element.
type sum struct{}

func (sum) String() string { return "sum" }

func (sum) Infer(in []Fact) ([]Fact, error) {
	for _, f := range in {
		if !f.Type.Equal(in[0].Type) {
			return nil, fmt.Errorf("got %v, want %v", f.Type, in[0].Type)
		}
	}
	return []Fact{{Type: in[0].Type}}, nil
}

func (sum) Compile(in, out []Fact) (Kernel, error) {
	return Kernel{Steps: []Step{{N: out[0].Shape.Elems(), Do: func(_ *Exec, in, out []*tensor.Tensor, i int) error {
		s := float32(0)
		for _, t := range in {
			s += t.F32()[i]
		}
		out[0].F32()[i] = s
		return nil
	}}}}, nil
}

func must(t *testing.T, vs []*Value, err error) *Value {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return vs[0]
}

func TestAddFoldsConstants(t *testing.T) {
	g := &Graph{}
	a := Constant("a", tensor.Of([]float32{1, 2}, 2))
	b := Constant("b", tensor.Of([]float32{10, 20}, 2))
	vs, err := g.Add("n", sum{}, nil, []*Value{a, b}, "c")
	c := must(t, vs, err)
	if len(g.Nodes) != 0 || c.Const == nil || c.Const.F32()[0] != 11 || c.Const.F32()[1] != 22 {
		t.Errorf("got %d nodes and constant %v, want none and [11 22]", len(g.Nodes), c.Const)
	}
}

// heavy claims work that no reader of a file should do.
type heavy struct{ sum }

func (heavy) FLOPs(in, out []Fact) int64 { return FoldWork/3 + 1 }

func TestAddFoldsOnlySoMuchWork(t *testing.T) {
	g := &Graph{}
	a := Constant("a", tensor.Of([]float32{1}, 1))
	for range 4 {
		if _, err := g.Add("n", heavy{}, nil, []*Value{a}, "b"); err != nil {
			t.Fatal(err)
		}
	}
	if len(g.Nodes) != 2 {
		t.Errorf("of four constants, each a third of the allowed work, %d were left to the run, want 2", len(g.Nodes))
	}
}

func TestAddRefusesValuesBeyondTheLimit(t *testing.T) {
	for _, limit := range []int{8, 7} {
		g := &Graph{Limit: limit}
		x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{2}})
		_, err := g.Add("big", sum{}, nil, []*Value{x, x}, "y")
		if want := limit < 8; (err != nil) != want || err != nil && (!errors.Is(err, tensor.ErrType) || !strings.Contains(err.Error(), `"big"`)) {
			t.Errorf("limit %d: got error %v, want an error: %v", limit, err, want)
		}
	}
}

// chain returns x -> p -> q -> r, each node adding x once more.
func chain(t *testing.T) (*Graph, *Value) {
	g := &Graph{}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{2}})
	v := x
	for _, name := range []string{"p", "q", "r"} {
		vs, err := g.Add(name, sum{}, nil, []*Value{v, x}, name+".out")
		v = must(t, vs, err)
	}
	g.Outputs = []*Value{v}
	return g, x
}

func names(g *Graph) string {
	var s []string
	for _, n := range g.Nodes {
		s = append(s, n.Name)
	}
	return strings.Join(s, " ")
}

func TestCheckFindsEveryBrokenOrder(t *testing.T) {
	g, _ := chain(t)
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	for name, breakIt := range map[string]func(g *Graph){
		"cycle":         func(g *Graph) { g.Nodes[0].In[0] = g.Nodes[2].Out[0] },
		"wrong order":   func(g *Graph) { g.Nodes[0], g.Nodes[1] = g.Nodes[1], g.Nodes[0] },
		"two producers": func(g *Graph) { g.Nodes[1].Out[0] = g.Nodes[0].Out[0] },
		"lost output":   func(g *Graph) { g.Outputs = []*Value{{Name: "nobody"}} },
		"double input":  func(g *Graph) { g.Inputs = append(g.Inputs, g.Inputs[0]) },
	} {
		c := g.Clone()
		breakIt(c)
		if err := c.Check(); !errors.Is(err, ErrGraph) {
			t.Errorf("%s: Check = %v, want ErrGraph", name, err)
		}
	}
	if err := g.Check(); err != nil {
		t.Errorf("changing clones changed the original: %v", err)
	}
}

func TestAbsorbTakesThePlaceOfTheUser(t *testing.T) {
	g, x := chain(t)
	p, q, r := g.Nodes[0], g.Nodes[1], g.Nodes[2]
	e := Edit(g)
	if e.OnlyUser(p.Out[0]) != q || e.OnlyUser(x) != nil || e.OnlyUser(r.Out[0]) != nil {
		t.Fatal("OnlyUser is wrong: p's result is read by q alone, x three times, r's is an output")
	}
	e.Absorb(p, q, sum{}, []*Value{x, x, x})
	e.Done()
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	if names(g) != "p r" || r.In[0] != p.Out[0] {
		t.Errorf("got nodes %q, want p r with r reading p", names(g))
	}
}

func TestInsertStandsInFrontOfTheReader(t *testing.T) {
	g, x := chain(t)
	p, q := g.Nodes[0], g.Nodes[1]
	e := Edit(g)
	v := e.Insert(q, "new", sum{}, []int{7}, []*Value{p.Out[0]}, x.Type)
	e.Set(q, sum{}, []*Value{v, x})
	if n := e.Producer(v); n == nil || e.OnlyUser(v) != q || e.OnlyUser(p.Out[0]) != n || !v.Type.Equal(x.Type) || fmt.Sprint(n.Layers) != "[7]" {
		t.Errorf("got producer %v, and %v as its only reader", n, e.OnlyUser(v))
	}
	e.Done()
	if err := g.Check(); err != nil || names(g) != "p new q r" {
		t.Errorf("got %s, %v, want p new q r", names(g), err)
	}
}

func TestRemoveRewiresReadersAndOutputs(t *testing.T) {
	g, x := chain(t)
	e := Edit(g)
	e.Remove(g.Nodes[2], g.Nodes[1].Out[0])
	e.Remove(g.Nodes[0], x)
	e.Done()
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	if names(g) != "q" || g.Outputs[0] != g.Nodes[0].Out[0] || g.Nodes[0].In[0] != x {
		t.Errorf("got nodes %q, output %q, want q reading x", names(g), g.Outputs[0].Name)
	}
}

func TestDoneDropsDeadNodes(t *testing.T) {
	g, _ := chain(t)
	g.Outputs[0] = g.Nodes[0].Out[0]
	Edit(g).Done()
	if names(g) != "p" {
		t.Errorf("got nodes %q, want p", names(g))
	}
}
