package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// The operators of these tests work on float32 tensors of one type.
type testOp struct {
	name    string
	inPlace bool
	view    bool
	layouts bool
	steps   int
	f       func(x float32) float32 // of the sum of the inputs
	fail    error
	panics  bool
}

func (o testOp) String() string { return o.name }

func (o testOp) Infer(in []graph.Fact) ([]graph.Fact, error) {
	return []graph.Fact{{Type: in[0].Type}}, nil
}

func (o testOp) FLOPs(in, out []graph.Fact) int64 { return int64(out[0].Shape.Elems()) }

func (o testOp) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if o.view {
		return graph.Kernel{View: true}, nil
	}
	k := graph.Kernel{Info: "test"}
	if o.inPlace {
		for i := range in {
			k.InPlace = append(k.InPlace, i)
		}
	}
	n := out[0].Bytes() / 4 // in its layout
	if o.steps < 2 {
		k.Steps = []graph.Step{{N: n, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
			if o.panics {
				panic("test")
			}
			s := float32(0)
			for _, t := range in {
				s += t.F32()[i]
			}
			out[0].F32()[i] = o.f(s)
			return o.fail
		}}}
		return k, nil
	}
	k.Temp, k.Scratch = 4*n, 64
	k.Steps = []graph.Step{
		{N: n, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
			acc := tensor.Cast[float32](x.Scratch)
			acc[0] = 0
			for _, t := range in {
				acc[0] += t.F32()[i]
			}
			tensor.Cast[float32](x.Temp)[i] = acc[0]
			return nil
		}},
		{N: n, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
			out[0].F32()[i] = o.f(tensor.Cast[float32](x.Temp)[i])
			return nil
		}},
	}
	return k, nil
}

// Layouts of an operator that works backwards: it wants and gives reversed.
func (o testOp) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	if !o.layouts {
		return nil, nil
	}
	for range in {
		want = append(want, reversed{})
	}
	return want, []graph.Layout{reversed{}}
}

// reversed is a layout with a pad of one element in front and the elements in
// reverse order.
type reversed struct{}

func (reversed) String() string          { return "reversed" }
func (reversed) Bytes(t tensor.Type) int { return t.Bytes() + 4 }

func (reversed) Pack(t tensor.Type) graph.Kernel   { return flip(t, 1, 0) }
func (reversed) Unpack(t tensor.Type) graph.Kernel { return flip(t, 0, 1) }

func flip(t tensor.Type, dst, src int) graph.Kernel {
	n := t.Shape.Elems()
	return graph.Kernel{Steps: []graph.Step{{N: n, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		o, v := out[0].F32(), in[0].F32()
		if len(o) != n+dst || len(v) != n+src {
			return fmt.Errorf("got %d -> %d elements", len(v), len(o))
		}
		o[dst+i] = v[src+n-1-i]
		return nil
	}}}}
}

func double(x float32) float32 { return 2 * x }
func half(x float32) float32   { return x / 2 }

// randomGraph returns a graph of n nodes, each reading up to three earlier values.
func randomGraph(t *testing.T, seed uint64, n int) *graph.Graph {
	r := rand.New(rand.NewPCG(seed, 1))
	g := &graph.Graph{Name: "random"}
	typ := tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{3, 5}}
	vs := []*graph.Value{g.Input("a", typ), g.Input("b", typ), graph.Constant("c", tensortest.Random(seed, 3, 5))}
	kinds := []testOp{
		{name: "plain", f: half}, {name: "inplace", inPlace: true, f: half}, {name: "view", view: true},
		{name: "steps", steps: 2, f: double},
	}
	for i := range n {
		op := kinds[r.IntN(len(kinds))]
		in := []*graph.Value{vs[r.IntN(len(vs))]}
		for !op.view && r.IntN(2) == 0 {
			in = append(in, vs[r.IntN(len(vs))])
		}
		out, err := g.Add(fmt.Sprint("n", i), op, nil, in, fmt.Sprint("v", i))
		if err != nil {
			t.Fatal(err)
		}
		vs = append(vs, out[0])
	}
	for range 4 {
		g.Outputs = append(g.Outputs, vs[r.IntN(len(vs))])
	}
	return g
}

// interpret runs g node by node with memory of its own for every value.
func interpret(t *testing.T, g *graph.Graph, in []*tensor.Tensor) []*tensor.Tensor {
	have := map[*graph.Value]*tensor.Tensor{}
	for i, v := range g.Inputs {
		have[v] = in[i]
	}
	get := func(v *graph.Value) *tensor.Tensor {
		if v.Const != nil {
			return v.Const
		}
		return have[v]
	}
	for _, n := range g.Nodes {
		facts := graph.Facts(n.In)
		for i, v := range n.In {
			facts[i].Const = get(v)
		}
		out, err := graph.Eval(n.Op, facts, graph.Facts(n.Out))
		if err != nil {
			t.Fatal(err)
		}
		have[n.Out[0]] = out[0]
	}
	var outs []*tensor.Tensor
	for _, v := range g.Outputs {
		outs = append(outs, get(v))
	}
	return outs
}

func inputs(seed uint64) []*tensor.Tensor {
	return []*tensor.Tensor{tensortest.Random(seed, 3, 5), tensortest.Random(seed+1, 3, 5)}
}

func TestMemoryPlanKeepsEveryValueUntilItsLastReader(t *testing.T) {
	for seed := range uint64(300) {
		g := randomGraph(t, seed, 30)
		for _, threads := range []int{1, 2} {
			p, err := Compile(g, Options{Threads: threads})
			if err != nil {
				t.Fatal(err)
			}
			s := p.NewSession()
			for run := range uint64(2) {
				in := inputs(seed + 100*run)
				want := interpret(t, g, in)
				got, err := s.Run(context.Background(), in)
				if err != nil {
					t.Fatal(err)
				}
				for i := range want {
					if !got[i].Identical(want[i]) {
						t.Fatalf("seed %d, %d threads, run %d: output %d is %v, want %v", seed, threads, run, i, got[i].F32(), want[i].F32())
					}
				}
				for i, fresh := range inputs(seed + 100*run) {
					if !in[i].Identical(fresh) {
						t.Fatalf("seed %d: the run changed input %d", seed, i)
					}
				}
			}
		}
	}
}

func TestLayoutsAreConvertedWhereTheyChange(t *testing.T) {
	g := &graph.Graph{}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{4}})
	copied := testOp{name: "copy", layouts: true, f: func(x float32) float32 { return x }}
	plain := testOp{name: "plain", f: double}
	a, _ := g.Add("a", copied, nil, []*graph.Value{x}, "a")
	b, _ := g.Add("b", copied, nil, a, "b")
	c, _ := g.Add("c", plain, nil, a, "c")
	g.Outputs = []*graph.Value{b[0], c[0], a[0]}
	p, err := Compile(g, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	var ops []string
	for _, n := range p.Nodes() {
		ops = append(ops, n.Op)
	}
	if got, want := strings.Join(ops, ", "), "to reversed, copy, copy, from reversed, plain, from reversed"; got != want {
		t.Errorf("got nodes %s, want %s", got, want)
	}
	got, err := p.NewSession().Run(context.Background(), []*tensor.Tensor{tensor.Of([]float32{1, 2, 3, 4}, 4)})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]float32{{1, 2, 3, 4}, {2, 4, 6, 8}, {1, 2, 3, 4}} {
		if !slices.Equal(got[i].F32(), want) {
			t.Errorf("output %d is %v, want %v", i, got[i].F32(), want)
		}
	}
}

func TestRunDoesNotAllocate(t *testing.T) {
	g := randomGraph(t, 7, 40)
	in := inputs(7)
	for _, threads := range []int{1, 2} {
		p, err := Compile(g, Options{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		s := p.NewSession()
		s.Observe(func(int, time.Duration) {})
		n := testing.AllocsPerRun(50, func() {
			if _, err := s.Run(context.Background(), in); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%d threads: %v allocations a run, want 0", threads, n)
		}
	}
}

func TestFailuresOfKernelsBecomeErrors(t *testing.T) {
	boom := errors.New("boom")
	for _, threads := range []int{1, 2} {
		for _, op := range []testOp{{name: "fails", f: half, fail: boom}, {name: "panics", f: half, panics: true}} {
			g := &graph.Graph{}
			x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{100}})
			g.Outputs, _ = g.Add("culprit", op, nil, []*graph.Value{x}, "y")
			p, err := Compile(g, Options{Threads: threads})
			if err != nil {
				t.Fatal(err)
			}
			s := p.NewSession()
			for range 3 {
				_, err = s.Run(context.Background(), []*tensor.Tensor{tensor.New(tensor.Float32, 100)})
				if err == nil || !strings.Contains(err.Error(), `"culprit"`) || op.fail != nil && !errors.Is(err, boom) {
					t.Errorf("%s, %d threads: got error %v", op.name, threads, err)
				}
			}
		}
	}
}

func TestSessionsRunConcurrently(t *testing.T) {
	g := randomGraph(t, 3, 30)
	p, err := Compile(g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for i := range uint64(4) {
		in := inputs(i)
		want := interpret(t, g, in)
		go func() {
			s := p.NewSession()
			for range 200 {
				got, err := s.Run(context.Background(), in)
				if err != nil {
					done <- err
					return
				}
				for k := range want {
					if !got[k].Identical(want[k]) {
						done <- fmt.Errorf("output %d differs", k)
						return
					}
				}
			}
			done <- nil
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestRunRefusesWrongInputs(t *testing.T) {
	g := randomGraph(t, 1, 5)
	p, err := Compile(g, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	s := p.NewSession()
	good := inputs(1)
	short := *good[1]
	short.Raw = short.Raw[:8]
	for name, in := range map[string][]*tensor.Tensor{
		"too few": good[:1], "nil": {good[0], nil}, "shape": {good[0], tensor.New(tensor.Float32, 5, 3)},
		"type": {good[0], tensor.New(tensor.Int32, 3, 5)}, "short": {good[0], &short},
	} {
		if _, err := s.Run(context.Background(), in); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Run(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got error %v", err)
	}
}

func TestCompileKeepsToTheMemoryLimit(t *testing.T) {
	g := &graph.Graph{}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1000}})
	g.Outputs, _ = g.Add("n", testOp{name: "plain", f: half}, nil, []*graph.Value{x}, "y")
	for limit, ok := range map[int]bool{4032: true, 4031: false} {
		_, err := Compile(g, Options{Memory: limit})
		if (err == nil) != ok || err != nil && !errors.Is(err, ErrMemory) {
			t.Errorf("limit %d: got error %v, want ok = %v", limit, err, ok)
		}
	}
}

// packer keeps its second input in a form of its own.
type packer struct{ testOp }

func (p packer) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	k, err := p.testOp.Compile(in[:1], out)
	k.Packed = []int{1}
	return k, err
}

func TestCompileForgetsPackedConstantsAndNoOthers(t *testing.T) {
	var mu sync.Mutex
	var forgotten []*tensor.Tensor
	g := &graph.Graph{Forget: func(c *tensor.Tensor) {
		mu.Lock()
		defer mu.Unlock()
		forgotten = append(forgotten, c)
	}}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{4}})
	packed, kept := tensor.New(tensor.Float32, 4), tensor.New(tensor.Float32, 4)
	y, err := g.Add("packs", packer{testOp{name: "packer", f: half}}, nil, []*graph.Value{x, graph.Constant("w", packed)}, "y")
	if err != nil {
		t.Fatal(err)
	}
	if g.Outputs, err = g.Add("keeps", testOp{name: "plain", f: half}, nil, []*graph.Value{y[0], graph.Constant("c", kept)}, "z"); err != nil {
		t.Fatal(err)
	}
	if _, err := Compile(g, Options{}); err != nil {
		t.Fatal(err)
	}
	if len(forgotten) != 1 || forgotten[0] != packed {
		t.Errorf("got %d constants forgotten, want the packed one", len(forgotten))
	}
}

// circular rewrites itself for ever.
type circular struct{ testOp }

func (circular) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	e.Set(n, circular{}, n.In)
	return true, nil
}

func TestOptimizeEndsRewritesInCircles(t *testing.T) {
	g := &graph.Graph{}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1}})
	g.Outputs, _ = g.Add("n", circular{}, nil, []*graph.Value{x}, "y")
	if _, err := Optimize(g); err == nil || !strings.Contains(err.Error(), `"n"`) {
		t.Errorf("got error %v, want one that names the node", err)
	}
}

// brittle is an operator whose Compile panics.
type brittle struct{ testOp }

func (brittle) Compile(in, out []graph.Fact) (graph.Kernel, error) { panic("test") }

func TestOperatorThatPanicsInCompileIsAnError(t *testing.T) {
	g := &graph.Graph{}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{4}})
	g.Outputs, _ = g.Add("culprit", brittle{testOp{name: "brittle"}}, nil, []*graph.Value{x}, "y")
	if _, err := Compile(g, Options{}); err == nil || !strings.Contains(err.Error(), `"culprit"`) {
		t.Errorf("got error %v, want one that names the node", err)
	}
}

// rounding is an operator that has an exact twin.
type rounding struct{ testOp }

func (o rounding) Exact() graph.Op {
	return testOp{name: "exact", f: o.f}
}

func TestExactPlansHaveExactOperators(t *testing.T) {
	for exact, want := range map[bool]string{false: "fast", true: "exact"} {
		g := &graph.Graph{}
		x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{3}})
		out, err := g.Add("n", rounding{testOp{name: "fast", f: double}}, nil, []*graph.Value{x}, "y")
		if err != nil {
			t.Fatal(err)
		}
		g.Outputs = out
		p, err := Compile(g, Options{Exact: exact})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Nodes()[0].Op; got != want {
			t.Errorf("exact %v: got %s, want %s", exact, got, want)
		}
		if got := g.Nodes[0].Op.String(); got != "fast" {
			t.Errorf("exact %v: the graph has become %s", exact, got)
		}
	}
}

func TestMemoryCountsOnlyThreadsThatRun(t *testing.T) {
	g := &graph.Graph{}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{4}})
	g.Outputs, _ = g.Add("n", testOp{name: "steps", steps: 2, f: double}, nil, []*graph.Value{x}, "y")
	cores, err := Compile(g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	many, err := Compile(g, Options{Threads: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if many.Memory() != cores.Memory() {
		t.Errorf("got %d bytes with 2^30 threads, want %d as with one for each core", many.Memory(), cores.Memory())
	}
}

func TestRunDoesNotKeepItsInputs(t *testing.T) {
	for _, fail := range []error{nil, errors.New("boom")} {
		g := &graph.Graph{}
		x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{100}})
		v, _ := g.Add("view", testOp{name: "view", view: true}, nil, []*graph.Value{x}, "v")
		g.Outputs, _ = g.Add("last", testOp{name: "plain", f: half, fail: fail}, nil, v, "y")
		p, err := Compile(g, Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		s, in := p.NewSession(), tensor.New(tensor.Float32, 100)
		if _, err := s.Run(context.Background(), []*tensor.Tensor{in}); !errors.Is(err, fail) {
			t.Fatal(err)
		}
		for i := range s.tensors {
			if raw := s.tensors[i].Raw; len(raw) > 0 && &raw[0] == &in.Raw[0] {
				t.Errorf("run with error %v: slot %d still shows the input", fail, i)
			}
		}
	}
}
