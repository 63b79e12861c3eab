package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

func TestRunsTogetherGiveTheBitsOfRunsAlone(t *testing.T) {
	for seed := range uint64(100) {
		g := randomGraph(t, seed, 30)
		for _, threads := range []int{1, 2} {
			p, err := Compile(g, Options{Threads: threads})
			if err != nil {
				t.Fatal(err)
			}
			sessions := make([]*Session, 5)
			for i := range sessions {
				sessions[i] = p.NewSession()
			}
			for n := 1; n <= len(sessions); n++ {
				var runs []Run
				for i := range n {
					// Who leads is another one each time.
					s := sessions[(i+n)%len(sessions)]
					runs = append(runs, Run{Session: s, Context: context.Background(), In: inputs(seed + uint64(100*n+10*i))})
				}
				RunTogether(runs)
				for i, r := range runs {
					if r.Err != nil {
						t.Fatal(r.Err)
					}
					for k, want := range interpret(t, g, r.In) {
						if !r.Out[k].Identical(want) {
							t.Fatalf("seed %d, %d threads: output %d of run %d of %d is %v, want %v", seed, threads, k, i, n, r.Out[k].F32(), want.F32())
						}
					}
				}
			}
		}
	}
}

// fickle doubles what it reads, but for some values.
type fickle struct {
	called  bool   // rather than run in steps
	cancels func() // called when a value is cancelling
}

const (
	failing    = 13
	panicking  = 14
	cancelling = 15
)

var errFickle = errors.New("unlucky")

func (fickle) String() string { return "fickle" }

func (fickle) Infer(in []graph.Fact) ([]graph.Fact, error) {
	return []graph.Fact{{Type: in[0].Type}}, nil
}

func (f fickle) double(x, y *tensor.Tensor, i int) error {
	switch v := x.F32()[i]; v {
	case failing:
		return errFickle
	case panicking:
		panic(errFickle.Error())
	case cancelling:
		f.cancels()
		fallthrough
	default:
		y.F32()[i] = 2 * v
	}
	return nil
}

func (f fickle) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if !f.called {
		return graph.Kernel{Steps: []graph.Step{{N: in[0].Shape.Elems(), Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
			return f.double(in[0], out[0], i)
		}}}}, nil
	}
	return graph.Kernel{Call: func(_ graph.Runner, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
		y := in[0].Clone()
		for i := range y.F32() {
			if err := f.double(in[0], y, i); err != nil {
				return nil, err
			}
		}
		return []*tensor.Tensor{y}, nil
	}}, nil
}

func TestARunThatFailsHarmsNoneOfThoseBesideIt(t *testing.T) {
	for _, threads := range []int{1, 2} {
		for _, called := range []bool{false, true} {
			ctx, cancel := context.WithCancel(context.Background())
			ended, end := context.WithCancel(context.Background())
			end()
			g := &graph.Graph{}
			v := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{40}})
			for i, op := range []graph.Op{fickle{called: called, cancels: cancel}, testOp{name: "double", f: double}} {
				out, err := g.Add(fmt.Sprint("node", i), op, nil, []*graph.Value{v}, fmt.Sprint("v", i))
				if err != nil {
					t.Fatal(err)
				}
				v = out[0]
			}
			g.Outputs = []*graph.Value{v}
			p, err := Compile(g, Options{Threads: threads})
			if err != nil {
				t.Fatal(err)
			}
			with := func(s *Session, ctx context.Context, value float32) Run {
				x := tensortest.Random(7, 40)
				x.F32()[31] = value
				return Run{Session: s, Context: ctx, In: []*tensor.Tensor{x}}
			}
			sessions := make([]*Session, 7)
			for i := range sessions {
				sessions[i] = p.NewSession()
			}
			background := context.Background()
			runs := []Run{
				with(sessions[0], background, failing),
				with(sessions[1], background, 1),
				with(sessions[2], ctx, cancelling),
				with(sessions[3], background, 2),
				with(sessions[4], ended, 3),
				{Session: sessions[5], Context: background, In: inputs(1)},
				with(sessions[6], background, 4),
				with(sessions[6], background, 5), // in the session of another
			}
			if !called { // what a Call panics with is for the caller
				runs = append(runs, with(p.NewSession(), background, panicking))
			}
			for range 2 {
				RunTogether(runs)
				for i, want := range map[int]error{0: errFickle, 2: context.Canceled, 4: context.Canceled, 5: nil, 7: nil} {
					if err := runs[i].Err; err == nil || want != nil && !errors.Is(err, want) || runs[i].Out != nil {
						t.Errorf("%d threads: run %d gives %v and the error %v, want %v", threads, i, runs[i].Out, err, want)
					}
				}
				if !called && (runs[8].Err == nil || !strings.Contains(runs[8].Err.Error(), errFickle.Error())) {
					t.Errorf("%d threads: a run that panics ends with %v", threads, runs[8].Err)
				}
				for _, i := range []int{1, 3, 6} {
					r := runs[i]
					if r.Err != nil {
						t.Fatal(r.Err)
					}
					for k, x := range r.In[0].F32() {
						if got := r.Out[0].F32()[k]; got != 4*x {
							t.Errorf("%d threads: element %d of run %d is %v, want %v", threads, k, i, got, 4*x)
						}
					}
				}
			}
			cancel()
		}
	}
}

func TestRunsTogetherDoNotAllocateAndShareTheTimeEqually(t *testing.T) {
	p, err := Compile(randomGraph(t, 7, 40), Options{})
	if err != nil {
		t.Fatal(err)
	}
	times := make([][]time.Duration, 3)
	runs := make([]Run, len(times))
	for i := range runs {
		times[i] = make([]time.Duration, len(p.Nodes()))
		runs[i] = Run{Session: p.NewSession(), Context: context.Background(), In: inputs(uint64(i))}
		runs[i].Session.Observe(func(node int, took time.Duration) { times[i][node] = took })
	}
	if n := testing.AllocsPerRun(50, func() { RunTogether(runs) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	for node := range times[0] {
		if a, b, c := times[0][node], times[1][node], times[2][node]; a != b || b != c {
			t.Errorf("node %d is said to take %v, %v and %v in runs together", node, a, b, c)
		}
	}
}
