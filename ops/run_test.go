package ops

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/isa"
)

// runGraph runs a graph node by node, with the layouts that the operators ask
// for, as a plan does.
func runGraph(tb testing.TB, g *graph.Graph, in []*tensor.Tensor) []*tensor.Tensor {
	tb.Helper()
	return runGraphFrom(tb, g, in, false)
}

// runGraphFrom is runGraph with inputs that lie in NCHW16c at first, if they can.
func runGraphFrom(tb testing.TB, g *graph.Graph, in []*tensor.Tensor, blocked bool) []*tensor.Tensor {
	tb.Helper()
	type place struct {
		v *graph.Value
		l graph.Layout
	}
	have := map[place]*tensor.Tensor{}
	made := map[*graph.Value]graph.Layout{}
	for i, v := range g.Inputs {
		have[place{v, nil}] = in[i]
		if blocked && blockable(v.Type) {
			made[v] = nchw16c{}
			f := graph.Fact{Type: v.Type, Layout: nchw16c{}}
			have[place{v, nchw16c{}}] = execute(tb, v.Name, nchw16c{}.Pack(v.Type), in[i:i+1], []graph.Fact{f})[0]
		}
	}
	get := func(v *graph.Value, want graph.Layout) *tensor.Tensor {
		if v.Const != nil {
			return v.Const
		}
		if t := have[place{v, want}]; t != nil {
			return t
		}
		t := have[place{v, made[v]}]
		if l := made[v]; l != nil {
			t = execute(tb, v.Name, l.Unpack(v.Type), []*tensor.Tensor{t}, []graph.Fact{{Type: v.Type}})[0]
		}
		if want != nil {
			t = execute(tb, v.Name, want.Pack(v.Type), []*tensor.Tensor{t}, []graph.Fact{{Type: v.Type, Layout: want}})[0]
		}
		have[place{v, want}] = t
		return t
	}
	for _, n := range g.Nodes {
		facts := graph.Facts(n.In)
		out, err := n.Op.Infer(facts)
		if err != nil {
			tb.Fatalf("%s: %v", n.Op, err)
		}
		want, give := make([]graph.Layout, len(facts)), make([]graph.Layout, len(out))
		if op, ok := n.Op.(graph.Layouter); ok {
			for i, v := range n.In {
				if v != nil {
					facts[i].Layout = made[v]
				}
			}
			want, give = op.Layouts(facts, out)
		}
		ins := make([]*tensor.Tensor, len(n.In))
		for i, v := range n.In {
			facts[i].Layout = nil
			if v == nil {
				continue
			}
			if v.Const == nil {
				facts[i].Layout = want[i]
			}
			ins[i] = get(v, facts[i].Layout)
		}
		for i := range out {
			out[i].Layout = give[i]
		}
		k, err := n.Op.Compile(facts, out)
		if err != nil {
			tb.Fatalf("%s: %v", n.Op, err)
		}
		for _, i := range k.Packed {
			ins[i] = nil
		}
		for i, t := range execute(tb, n.Op.String(), k, ins, out) {
			if i < len(n.Out) && n.Out[i] != nil {
				made[n.Out[i]] = give[i]
				have[place{n.Out[i], give[i]}] = t
			}
		}
	}
	var outs []*tensor.Tensor
	for _, v := range g.Outputs {
		outs = append(outs, get(v, nil))
	}
	return outs
}

// rewritten returns a copy of g to which its operators' rewrites were applied.
func rewritten(t *testing.T, g *graph.Graph) *graph.Graph {
	t.Helper()
	g = g.Clone()
	rewrite(t, g)
	return g
}

// add appends a node with one output.
func add(tb testing.TB, g *graph.Graph, op graph.Op, in ...*graph.Value) *graph.Value {
	tb.Helper()
	name := fmt.Sprint(op, len(g.Nodes))
	vs, err := g.Add(name, op, nil, in, name+".out")
	if err != nil {
		tb.Fatal(err)
	}
	return vs[0]
}

// atEachLevel runs the test of the caller, called name, with every instruction
// set that this machine has: here with the best one, in processes of their own
// with the others.
func atEachLevel(t *testing.T, name string, f func(t *testing.T)) {
	f(t)
	if os.Getenv(isa.Env) != "" {
		return
	}
	for l := isa.Go; l < isa.Best(); l++ {
		if !isa.Have(l) {
			continue
		}
		cmd := exec.Command(os.Args[0], "-test.run=^"+name+"$")
		cmd.Env = append(os.Environ(), isa.Env+"="+l.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("with %s: %v\n%s", l, err, out)
		}
	}
}

// reals returns a float32 tensor of n pseudo-random values of which some are
// zeros of either sign.
func reals(r *rand.Rand, shape ...int) *tensor.Tensor {
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.F32() {
		switch r.IntN(8) {
		case 0:
		case 1:
			t.F32()[i] = negativeZero
		default:
			t.F32()[i] = r.Float32()*2 - 1
		}
	}
	return t
}
