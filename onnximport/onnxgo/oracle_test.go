//go:build !riscv64

package onnxgo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/owulveryck/onnx-go"
	"github.com/owulveryck/onnx-go/backend/testbackend"

	"scission/bench/zoo"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/onnximport"
	"scission/ops"
)

// agree decodes a file with onnx-go and with our importer, for inputs of the given
// shapes, and compares the graphs: nodes, their operators, attributes and operands,
// and the bits of constants. It returns the error if one of them cannot read it.
func agree(t *testing.T, data []byte, shapes map[string]tensor.Shape) error {
	t.Helper()
	file, err := onnximport.Parse(data, onnximport.Options{})
	if err != nil {
		return err
	}
	want, err := file.Graph(shapes)
	if err != nil {
		return err
	}
	m, g, err := Unmarshal(data, Options{})
	if err != nil {
		return err
	}
	for _, id := range m.Output {
		g.Node(id).(*node).wanted = true
	}
	g.prepare()
	var types []tensor.Type
	for _, v := range g.inputs {
		i := slices.IndexFunc(want.Inputs, func(w *graph.Value) bool { return w.Name == v.name })
		if i < 0 {
			t.Fatalf("%q is an input for onnx-go and none for our importer", v.name)
		}
		types = append(types, want.Inputs[i].Type)
	}
	got, err := g.build(types)
	if err != nil {
		t.Fatalf("our importer takes the model, but not as onnx-go decodes it: %v", err)
	}
	if len(got.Nodes) != len(want.Nodes) {
		t.Fatalf("onnx-go has %d nodes, our importer %d", len(got.Nodes), len(want.Nodes))
	}
	for i, a := range got.Nodes {
		b := want.Nodes[i]
		if err := sameNode(a, b); err != nil {
			t.Fatalf("node %d, %q: %v", i, b.Name, err)
		}
	}
	var names, wantNames []string
	for _, v := range got.Outputs {
		names = append(names, v.Name)
	}
	for _, v := range want.Outputs {
		if v.Const == nil && !slices.Contains(want.Inputs, v) {
			wantNames = append(wantNames, v.Name)
		}
	}
	for _, s := range wantNames {
		if !slices.Contains(names, s) {
			t.Fatalf("onnx-go has outputs %v, our importer %v", names, wantNames)
		}
	}
	return nil
}

// sameNode compares a node as onnx-go decodes it with ours.
func sameNode(a, b *graph.Node) error {
	if a.Spec.Type != b.Spec.Type || a.Spec.Version != b.Spec.Version || b.Spec.Domain != "" {
		return fmt.Errorf("onnx-go has operator %s, opset %d; our importer %+v", a.Spec.Type, a.Spec.Version, b.Spec)
	}
	attrs := slices.SortedFunc(slices.Values(b.Spec.Attrs), func(x, y graph.Attr) int { return strings.Compare(x.Name, y.Name) })
	if len(a.Spec.Attrs) != len(attrs) {
		return fmt.Errorf("onnx-go has attributes %v, our importer %v", a.Spec.Attrs, attrs)
	}
	for i, x := range a.Spec.Attrs {
		y := attrs[i]
		if t, ok := x.Value.(*tensor.Tensor); ok {
			if u, ok := y.Value.(*tensor.Tensor); !ok || x.Name != y.Name || !t.Identical(u) {
				return fmt.Errorf("onnx-go has attribute %q = %v, our importer %v", x.Name, t, y)
			}
		} else if fmt.Sprintf("%T %v", x, x) != fmt.Sprintf("%T %v", y, y) {
			return fmt.Errorf("onnx-go has attribute %+v, our importer %+v", x, y)
		}
	}
	for _, l := range [][2][]*graph.Value{{a.In, b.In}, {a.Out, b.Out}} {
		if len(l[0]) != len(l[1]) {
			return fmt.Errorf("onnx-go has %d operands and %d results, our importer %d and %d", len(a.In), len(a.Out), len(b.In), len(b.Out))
		}
		for i, v := range l[0] {
			if err := sameValue(v, l[1][i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func sameValue(v, w *graph.Value) error {
	if v == nil || w == nil {
		if v != w {
			return fmt.Errorf("a value is omitted for onnx-go or for our importer: %v and %v", v, w)
		}
		return nil
	}
	if v.Name != w.Name || v.Late != w.Late || !v.Type.Equal(w.Type) || (v.Const == nil) != (w.Const == nil) {
		return fmt.Errorf("onnx-go has value %q, %v; our importer %q, %v", v.Name, v.Type, w.Name, w.Type)
	}
	if v.Const != nil && !v.Const.Identical(w.Const) {
		return fmt.Errorf("the bits of constant %q differ", v.Name)
	}
	return nil
}

// beyondOnnxGo reports whether err says that a model is beyond onnx-go or ops.
func beyondOnnxGo(err error) bool {
	var missing *onnx.ErrNotImplemented
	return errors.Is(err, ops.ErrUnsupported) || errors.As(err, &missing)
}

func TestOnnxGoAndOurImporterAgreeOnOfficialNodeCases(t *testing.T) {
	agreed := 0
	for _, f := range testbackend.GetAllRegisteredTests() {
		c := f()
		t.Run(c.Title, func(t *testing.T) {
			file, err := onnximport.Parse(c.ModelB, onnximport.Options{})
			if err != nil {
				t.Fatal(err)
			}
			shapes := map[string]tensor.Shape{}
			for i, in := range file.Inputs() {
				x, err := fromGorgonia(c.Input[i])
				if err != nil {
					t.Fatal(err)
				}
				if len(x.Shape) == len(in.Dims) {
					shapes[in.Name] = x.Shape
				}
			}
			switch err := agree(t, c.ModelB, shapes); {
			case err == nil:
				agreed++
			case !beyondOnnxGo(err):
				t.Error(err)
			}
		})
	}
	if agreed < 336 {
		t.Errorf("%d models were compared, want at least 336", agreed)
	}
}

// What onnx-go cannot read of the real models that lie beside the project in a
// developer's tree.
var unreadable = map[string]string{
	"mobilenet_v2_050_128_int8_qdq": "INT8",
	"ppocrv4_det":                   "no elements",
	"selfie_segmentation":           "no elements",
	"silero_vad_legacy":             "GRAPH",
	"squeezenet_fp16":               "FLOAT16",
	"yunet_n_320":                   "no elements",
}

func sharedModels(t *testing.T) []string {
	dirs, err := filepath.Glob(filepath.Join("..", "..", "..", "shared", "models", "*", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) == 0 {
		t.Skip("no real models are beside the project")
	}
	for i, d := range dirs {
		dirs[i] = filepath.Dir(d)
	}
	return dirs
}

// readSeries reads the inputs or outputs of a data set, by their names.
func readSeries(t *testing.T, dir, kind string) map[string]*tensor.Tensor {
	t.Helper()
	series := map[string]*tensor.Tensor{}
	for i := 0; ; i++ {
		b, err := os.ReadFile(filepath.Join(dir, "test_data_set_0", fmt.Sprintf("%s_%d.pb", kind, i)))
		if err != nil {
			return series
		}
		x, name, err := onnximport.ReadTensor(b, 1<<28)
		if err != nil {
			t.Fatal(err)
		}
		series[name] = x
	}
}

func TestRealModelsThroughOnnxGoAgreeAndGiveTheirReferenceOutputs(t *testing.T) {
	for _, dir := range sharedModels(t) {
		name := filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, "model.onnx"))
			if err != nil {
				t.Fatal(err)
			}
			in, want := readSeries(t, dir, "input"), readSeries(t, dir, "output")
			shapes := map[string]tensor.Shape{}
			for name, x := range in {
				shapes[name] = x.Shape
			}
			err = agree(t, data, shapes)
			if reason := unreadable[name]; reason != "" {
				if !beyondOnnxGo(err) || !strings.Contains(err.Error(), reason) {
					t.Errorf("got %v, want an error with %q", err, reason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, safe := range []bool{true, false} {
				g := NewGraph(Options{Opset: opsetOfFile(t, data)})
				m := onnx.NewModel(g)
				if safe {
					m, g, err = Unmarshal(data, Options{})
				} else {
					err = m.UnmarshalBinary(data)
				}
				if err != nil {
					t.Fatal(err)
				}
				file, err := onnximport.Parse(data, onnximport.Options{})
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range file.Inputs() {
					x, err := toGorgonia(in[v.Name])
					if err != nil {
						t.Fatal(err)
					}
					if err := m.SetInput(i, x); err != nil {
						t.Fatal(err)
					}
				}
				for range 2 {
					if err := g.Run(); err != nil {
						t.Fatal(err)
					}
					out, err := m.GetOutputTensors()
					if err != nil {
						t.Fatal(err)
					}
					for i, v := range file.Outputs() {
						got, err := fromGorgonia(out[i])
						if err != nil {
							t.Fatal(err)
						}
						if err := tensortest.Diff(got, want[v.Name], 1e-3, 1e-4); err != nil {
							t.Errorf("safe %v: output %q: %v", safe, v.Name, err)
						}
					}
				}
			}
		})
	}
}

func TestOnnxGoAndOurImporterAgreeOnNetworksThatWeSave(t *testing.T) {
	for _, name := range []string{"mobilenetv2", "nasnetmobile"} {
		t.Run(name, func(t *testing.T) {
			g, err := zoo.Build(name)
			if err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			if err := onnximport.Save(&file, g); err != nil {
				t.Fatal(err)
			}
			if err := agree(t, file.Bytes(), nil); err != nil {
				t.Fatal(err)
			}
		})
	}
}
