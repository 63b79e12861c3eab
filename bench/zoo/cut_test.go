package zoo_test

import (
	"context"
	"fmt"
	"testing"

	"scission/bench/zoo"
	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/split"
	"scission/split/cut"
)

func runGraph(t *testing.T, g *graph.Graph, in []*tensor.Tensor) []*tensor.Tensor {
	t.Helper()
	p, err := engine.Compile(g, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.NewSession().Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// everyCut runs both parts of g at every cut, in parallel subtests, and
// compares with the whole.
func everyCut(t *testing.T, g *graph.Graph, in []*tensor.Tensor) {
	cuts := cut.Find(g, 0)
	cutAt(t, g, in, cuts[1:len(cuts)-1])
}

func cutAt(t *testing.T, g *graph.Graph, in []*tensor.Tensor, cuts []cut.Cut) {
	want := runGraph(t, g, in)
	for _, c := range cuts {
		t.Run(fmt.Sprint(c.Position), func(t *testing.T) {
			t.Parallel()
			data := in
			for _, s := range []split.Segment{{From: 0, To: c.Position}, {From: c.Position, To: len(g.Nodes)}} {
				part, err := cut.Extract(g, s)
				if err != nil {
					t.Fatal(err)
				}
				data = runGraph(t, part, data)
			}
			for i := range want {
				if !data[i].Identical(want[i]) {
					t.Errorf("before %s, %d tensors: %v", g.Nodes[c.Position].Name, c.Width(), tensortest.Diff(data[i], want[i], 0, 0))
				}
			}
		})
	}
}

func TestSplitEqualsWholeAtEveryCut(t *testing.T) {
	for _, name := range []string{"mobilenetv2", "resnet50"} {
		t.Run(name, func(t *testing.T) {
			g, err := zoo.Build(name)
			if err != nil {
				t.Fatal(err)
			}
			everyCut(t, g, []*tensor.Tensor{tensortest.Random(1, 1, 3, 224, 224)})
		})
	}
}

// NASNet is cut inside its body, where several tensors cross every cut, at some
// cuts of each width.
func TestSplitEqualsWholeInsideTheBodyOfNASNet(t *testing.T) {
	g, err := zoo.Build("nasnetmobile")
	if err != nil {
		t.Fatal(err)
	}
	const each = 2
	var cuts []cut.Cut
	widths := map[int]int{}
	for _, c := range cut.Find(g, 0) {
		if w := c.Width(); w > 1 && widths[w] < each && (len(cuts) == 0 || c.Position > cuts[len(cuts)-1].Position+len(g.Nodes)/40) {
			widths[w]++
			cuts = append(cuts, c)
		}
	}
	if len(widths) < 4 {
		t.Errorf("the widths of cuts are %v", widths)
	}
	cutAt(t, g, []*tensor.Tensor{tensortest.Random(1, 1, 3, 224, 224)}, cuts)
}

func TestBitsDoNotDependOnThreadsAndRunsDoNotAllocate(t *testing.T) {
	g, err := zoo.Build("mobilenetv2")
	if err != nil {
		t.Fatal(err)
	}
	in := []*tensor.Tensor{tensortest.Random(1, 1, 3, 224, 224)}
	var first *tensor.Tensor
	for _, threads := range []int{1, 2, 3} {
		p, err := engine.Compile(g, engine.Options{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		s := p.NewSession()
		var out []*tensor.Tensor
		if n := testing.AllocsPerRun(3, func() { out, err = s.Run(context.Background(), in) }); err != nil || n != 0 {
			t.Errorf("%d threads: %v allocations a run, error %v, want none", threads, n, err)
		}
		if first == nil {
			first = out[0].Clone()
		} else if !out[0].Identical(first) {
			t.Errorf("%d threads: the result differs from that of one thread", threads)
		}
	}
}
