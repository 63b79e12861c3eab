package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// join is its inputs, of one dimension, one after the other. If it says so, its
// inputs may lie in its result.
type join struct{ says bool }

func (join) String() string { return "join" }

func (join) Infer(in []graph.Fact) ([]graph.Fact, error) {
	n := 0
	for _, f := range in {
		n += f.Shape[0]
	}
	return []graph.Fact{{Type: vector(n)}}, nil
}

func vector(n int) tensor.Type {
	return tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{n}}
}

func (j join) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	var at []int
	end := 0
	for _, f := range in {
		at = append(at, end)
		end += f.Bytes()
	}
	k := graph.Kernel{Info: "copy", Steps: []graph.Step{{N: len(in), Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		if to := out[0].Raw[at[i]:]; &to[0] != &in[i].Raw[0] {
			copy(to, in[i].Raw)
		}
		return nil
	}}}}
	if j.says {
		k.Parts = at
	}
	return k, nil
}

// randomJoins returns a graph of n nodes that work on values of one dimension
// and join them.
func randomJoins(t *testing.T, seed uint64, n int, says bool) *graph.Graph {
	r := rand.New(rand.NewPCG(seed, 2))
	g := &graph.Graph{Name: "joins"}
	vs := []*graph.Value{g.Input("a", vector(16)), g.Input("b", vector(5)), graph.Constant("c", tensortest.Random(seed, 32))}
	kinds := []graph.Op{
		testOp{name: "plain", f: half}, testOp{name: "inplace", inPlace: true, f: half}, testOp{name: "view", view: true},
		testOp{name: "steps", steps: 2, f: double}, join{says}, join{says},
	}
	pick := func() *graph.Value { return vs[max(r.IntN(len(vs)), r.IntN(len(vs)))] }
	for i := range n {
		op := kinds[r.IntN(len(kinds))]
		in := []*graph.Value{pick()}
		for range r.IntN(4) {
			v := pick()
			switch o := op.(type) {
			case join:
				if in[0].Shape[0]+v.Shape[0] < 1000 {
					in = append(in, v)
				}
			case testOp:
				if !o.view && v.Type.Equal(in[0].Type) {
					in = append(in, v)
				}
			}
		}
		out, err := g.Add(fmt.Sprint("n", i), op, nil, in, fmt.Sprint("v", i))
		if err != nil {
			t.Fatal(err)
		}
		vs = append(vs, out[0])
	}
	for range 4 {
		g.Outputs = append(g.Outputs, pick())
	}
	return g
}

func TestPartsInPlaceGiveTheBitsOfCopies(t *testing.T) {
	joins, inPlace := 0, 0
	for seed := range uint64(500) {
		g := randomJoins(t, seed, 30, true)
		in := []*tensor.Tensor{tensortest.Random(seed, 16), tensortest.Random(seed+1, 5)}
		want := interpret(t, g, in)
		p, err := Compile(g, Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		copied, err := Compile(randomJoins(t, seed, 30, false), Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range p.Nodes() {
			if n.Op == "join" {
				joins++
			}
			if n.Kernel == "in place" {
				inPlace++
			}
		}
		for _, p := range []*Plan{p, copied} {
			s := p.NewSession()
			for range 2 { // the second finds what the first has left
				got, err := s.Run(context.Background(), in)
				if err != nil {
					t.Fatal(err)
				}
				for i := range want {
					if !got[i].Identical(want[i]) {
						t.Fatalf("seed %d: output %d is %v, want %v", seed, i, got[i].F32(), want[i].F32())
					}
				}
			}
		}
	}
	if inPlace < joins/10 {
		t.Errorf("%d of %d joins are in place, want at least a tenth", inPlace, joins)
	}
}

// chain is values that each have the one before as their beginning, and behind
// it what pieces returns.
func chain(t *testing.T, pieces int, says bool, operands func(whole, all []*graph.Value) []*graph.Value) *Plan {
	g := &graph.Graph{}
	x := g.Input("x", vector(1024))
	piece := func(of *graph.Value, name string) *graph.Value {
		out, err := g.Add(name, testOp{name: "piece", f: half}, nil, []*graph.Value{of}, name)
		if err != nil {
			t.Fatal(err)
		}
		return out[0]
	}
	all := []*graph.Value{piece(x, "p")}
	whole := all
	for i := range pieces {
		all = append(all, piece(all[i], fmt.Sprint("p", i)))
		var err error
		name := fmt.Sprint("w", i)
		if whole, err = g.Add(name, join{says}, nil, operands(whole, all), name); err != nil {
			t.Fatal(err)
		}
		// Somebody else reads each of them.
		g.Outputs = append(g.Outputs, whole[0])
	}
	p, err := Compile(g, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestChainsOfPartsAreOneBuffer(t *testing.T) {
	const pieces = 10
	for name, operands := range map[string]func(whole, all []*graph.Value) []*graph.Value{
		"the last and a piece": func(whole, all []*graph.Value) []*graph.Value {
			return []*graph.Value{whole[0], all[len(all)-1]}
		},
		"all pieces again": func(_, all []*graph.Value) []*graph.Value { return all },
	} {
		p := chain(t, pieces, true, operands)
		if got, want := p.Memory(), (pieces+1)*4096; got != want {
			t.Errorf("%s: plan takes %d bytes, want %d, those of the last value", name, got, want)
		}
		for _, n := range p.Nodes() {
			if n.Op == "join" && n.Kernel != "in place" {
				t.Errorf("%s: node %s copies", name, n.Name)
			}
		}
		if copied := chain(t, pieces, false, operands); copied.Memory() <= p.Memory() {
			t.Errorf("%s: plan that copies takes %d bytes, want more than %d", name, copied.Memory(), p.Memory())
		}
	}
}
