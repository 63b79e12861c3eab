package zoo_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/onnximport"
	"scission/split"
	"scission/split/cut"
	"scission/split/run"
	"scission/transport"
)

// realModels calls f in a subtest for each of the real models, trained elsewhere,
// that lie beside the project in a developer's tree, with its first inputs.
func realModels(t *testing.T, f func(t *testing.T, path string, m *onnximport.Model, in []*tensor.Tensor)) {
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "shared", "models", "*", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("no real models are beside the project")
	}
	for _, path := range files {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m, err := onnximport.Open(path, onnximport.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { m.Close() })
			var in []*tensor.Tensor
			for i := range m.Inputs() {
				b, err := os.ReadFile(filepath.Join(dir, "test_data_set_0", fmt.Sprintf("input_%d.pb", i)))
				if err != nil {
					t.Fatal(err)
				}
				x, _, err := onnximport.ReadTensor(b, 1<<30)
				if err != nil {
					t.Fatal(err)
				}
				in = append(in, x)
			}
			f(t, path, m, in)
		})
	}
}

func graphFor(t *testing.T, m *onnximport.Model, in []*tensor.Tensor) *graph.Graph {
	t.Helper()
	types := make([]tensor.Type, len(in))
	for i, x := range in {
		types[i] = x.Type
	}
	g, err := m.GraphFor(types)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// narrowAndSome returns the inner cuts of g that one value crosses, and about as
// many of each greater width as sample says, spread over the graph.
func narrowAndSome(g *graph.Graph, sample int) (cuts []cut.Cut, wide int) {
	all := cut.Find(g, 0)
	all = all[1 : len(all)-1]
	count, seen := map[int]int{}, map[int]int{}
	for _, c := range all {
		count[c.Width()]++
	}
	for _, c := range all {
		w := c.Width()
		if w > 1 && seen[w]%max(1, count[w]/sample) != 0 {
			seen[w]++
			continue
		}
		seen[w]++
		if w > 1 {
			wide++
		}
		cuts = append(cuts, c)
	}
	return cuts, wide
}

// Recurrent layers and control flow are one layer each, so that their state crosses
// no cut but as the inputs and outputs that the model gives it.
func TestSplitEqualsWholeAtEveryNarrowCutOfRealModels(t *testing.T) {
	realModels(t, func(t *testing.T, _ string, m *onnximport.Model, in []*tensor.Tensor) {
		g := graphFor(t, m, in)
		cuts, wide := narrowAndSome(g, 4)
		t.Logf("%d layers, %d cuts of one tensor, %d of more", len(g.Nodes), len(cuts)-wide, wide)
		if len(cuts) == 0 {
			t.Fatal("there is no cut")
		}
		cutAt(t, g, in, cuts)
	})
}

// partial is an open file of which weights may be missing.
type partial struct {
	*onnximport.Model
	uses *onnximport.Uses
}

func (p partial) Spare(use func(layer int) bool) []run.Range { return ranges(p.uses.Unused(use)) }

func ranges(list []onnximport.Range) (out []run.Range) {
	for _, r := range list {
		out = append(out, run.Range(r))
	}
	return out
}

// widest is how many times larger a constant may be in the graph than in the file:
// numbers of 8 bits may be of 32.
const widest = 4

// weightsOnlyBefore is the bytes of the weights that no layer from the given one on
// reads, or a graph that it runs.
func weightsOnlyBefore(g *graph.Graph, layer int) (n int) {
	behind := map[*tensor.Tensor]bool{}
	for i, node := range slices.Backward(g.Nodes) {
		for _, v := range node.In {
			if v == nil || v.Const == nil || behind[v.Const] || len(v.Const.Raw) < widest*onnximport.MinWeight {
				continue
			}
			behind[v.Const] = true
			if i < layer {
				n += len(v.Const.Raw)
			}
		}
	}
	return n
}

// A worker on a socket runs what is behind a cut in the middle, and is sent no more
// than that.
func TestSplitOverASocketEqualsWholeForRealModels(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	store, err := run.OpenStore(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	worker := &run.Node{Name: "edge", Store: store, Load: func(path string, shapes map[string]tensor.Shape) (*graph.Graph, io.Closer, error) {
		m, err := onnximport.Open(path, onnximport.Options{})
		if err != nil {
			return nil, nil, err
		}
		g, uses, err := m.GraphUses(shapes)
		return g, partial{m, uses}, err
	}}
	l, err := transport.Listen("127.0.0.1:0", worker.Transport)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- worker.ServeAll(ctx, l) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	var sent int64
	device := &run.Node{Name: "device", Peers: map[string]string{"edge": l.Addr().String()}, Progress: func(_ string, done, _ int64) { sent = done }}
	realModels(t, func(t *testing.T, path string, m *onnximport.Model, in []*tensor.Tensor) {
		g := graphFor(t, m, in)
		want := runGraph(t, g, in)
		cuts := cut.Find(g, 0)
		sum := m.Digest()
		f := m.File()
		d := run.Deployment{Model: run.Model{Name: filepath.Base(filepath.Dir(path)), Digest: hex.EncodeToString(sum[:]), Graph: g, Shapes: map[string]tensor.Shape{},
			Content: run.NewContent(f, f.Size(), ranges(f.Weights()))}}
		for _, v := range g.Inputs {
			d.Model.Shapes[v.Name] = v.Shape
		}
		middle := cuts[len(cuts)/2].Position
		d.Stages = split.Partition{
			{Host: "device", Segment: split.Segment{From: 0, To: middle}},
			{Host: "edge", Segment: split.Segment{From: middle, To: len(g.Nodes)}},
		}
		e, err := device.Open(ctx, d)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if saved, least := f.Size()-sent, int64(weightsOnlyBefore(g, middle)/widest); saved < least {
			t.Errorf("%d of %d bytes are sent for layers %v, want %d less", sent, f.Size(), d.Stages[1].Segment, least)
		}
		for range 2 {
			out, _, err := e.Run(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if !out[i].Identical(want[i]) {
					t.Errorf("before %s: %v", g.Nodes[middle].Name, tensortest.Diff(out[i], want[i], 0, 0))
				}
			}
		}
	})
}

// A model that leaves the number of its images open gives for each image of a batch
// what it gives for that alone, and the same bits before and after other shapes.
func TestBatchesOfRealModelsAreTheirImages(t *testing.T) {
	batched := 0
	realModels(t, func(t *testing.T, _ string, m *onnximport.Model, in []*tensor.Tensor) {
		ins := m.Inputs()
		if len(ins) > 1 || ins[0].Dims[0].Value >= 0 {
			t.Skip("not one input with an open number of images")
		}
		s := engine.NewDynamic(m.GraphFor, engine.Options{}, 0).NewSession()
		infer := func(x *tensor.Tensor) []*tensor.Tensor {
			t.Helper()
			out, err := s.Run(context.Background(), []*tensor.Tensor{x})
			if err != nil {
				t.Fatal(err)
			}
			var own []*tensor.Tensor
			for _, y := range out {
				own = append(own, y.Clone())
			}
			return own
		}
		// The second image is the first one's second half before its first.
		first := &tensor.Tensor{Type: tensor.Type{DType: in[0].DType, Shape: in[0].Shape.Clone()}, Raw: in[0].Raw[:len(in[0].Raw)/in[0].Shape[0]]}
		first.Shape[0] = 1
		second := first.Clone()
		half := len(first.Raw) / 2
		copy(second.Raw, first.Raw[half:])
		copy(second.Raw[half:], first.Raw)
		shape := first.Shape.Clone()
		shape[0] = 2
		both := tensor.New(first.DType, shape...)
		copy(both.Raw[copy(both.Raw, first.Raw):], second.Raw)
		want := [2][]*tensor.Tensor{infer(first), infer(second)}
		got := infer(both)
		for k, y := range got {
			for i := range 2 {
				size := len(y.Raw) / 2
				one := &tensor.Tensor{Type: want[i][k].Type, Raw: y.Raw[i*size : (i+1)*size]}
				if err := tensortest.Diff(one, want[i][k], 1e-3, 1e-4); err != nil {
					t.Errorf("image %d of the batch, output %d: %v", i, k, err)
				}
			}
		}
		for k, y := range infer(first) {
			if !y.Identical(want[0][k]) {
				t.Errorf("output %d differs after a run of another shape", k)
			}
		}
		batched++
	})
	if !t.Failed() && batched < 8 {
		t.Errorf("%d models were run in batches, want at least 8", batched)
	}
}
