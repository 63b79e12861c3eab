package onnximport

import (
	"bytes"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	. "scission/onnximport/internal/pbtest"
	"scission/ops"
)

// sameGraph verifies that two graphs have the same structure, names, operators
// and constants.
func sameGraph(t *testing.T, got, want *graph.Graph) {
	t.Helper()
	same := map[*graph.Value]*graph.Value{nil: nil}
	value := func(what string, v, w *graph.Value) {
		if s, ok := same[w]; ok {
			if s != v {
				t.Errorf("%s: got value %v, want %v", what, v, s)
			}
			return
		}
		same[w] = v
		if v == nil || v.Name != w.Name || !v.Type.Equal(w.Type) || (v.Const == nil) != (w.Const == nil) {
			t.Errorf("%s: got value %+v, want %+v", what, v, w)
		} else if w.Const != nil && !v.Const.Identical(w.Const) {
			t.Errorf("%s: constant %q has other elements", what, w.Name)
		}
	}
	values := func(what string, vs, ws []*graph.Value) {
		if len(vs) != len(ws) {
			t.Errorf("%s: got %d values, want %d", what, len(vs), len(ws))
			return
		}
		for i := range ws {
			value(what, vs[i], ws[i])
		}
	}
	values("graph inputs", got.Inputs, want.Inputs)
	if len(got.Nodes) != len(want.Nodes) || got.Name != want.Name {
		t.Fatalf("got graph %q of %d nodes, want %q of %d", got.Name, len(got.Nodes), want.Name, len(want.Nodes))
	}
	for i, w := range want.Nodes {
		n := got.Nodes[i]
		bodies, wanted := bodiesOf(n), bodiesOf(w)
		if n.Name != w.Name || !sameSpec(n.Spec, w.Spec) || len(bodies) != len(wanted) || len(wanted) == 0 && !sameOp(n.Op, w.Op) {
			t.Errorf("got node %+v, want %+v", n, w)
			continue
		}
		for name, b := range wanted {
			sameGraph(t, bodies[name].Graph, b.Graph)
		}
		values(w.Name, n.In, w.In)
		values(w.Name, n.Out, w.Out)
	}
	values("graph outputs", got.Outputs, want.Outputs)
}

// sameSpec reports whether two specs are equal but for the graphs in them.
func sameSpec(a, b *graph.Spec) bool {
	return a.Domain == b.Domain && a.Type == b.Type && a.Version == b.Version &&
		slices.EqualFunc(a.Attrs, b.Attrs, func(a, b graph.Attr) bool {
			x, body := a.Value.(*graph.Body)
			y, wanted := b.Value.(*graph.Body)
			return a.Name == b.Name && body == wanted && (body && x.Given == y.Given || !body && reflect.DeepEqual(a.Value, b.Value))
		})
}

// several is a graph with attributes of several kinds, an omitted input, a
// folded constant, a constant output, an input that is an output, and a value
// that is read twice.
func several() []byte {
	ints := func(name string, vs ...int64) []byte { return Msg(Bytes(1, name), Ints(8, vs...), Int(20, 7)) }
	return model(Bytes(2, "several"),
		node("Constant", "k", nil, names("c"), Msg(Bytes(1, "value"), Sub(5, Ints(1, 2), Int(2, 1), Floats(4, 0.5, -0.5)), Int(20, 4))),
		node("Add", "folded", names("c", "c"), names("cc")),
		node("Add", "add", names("x", "cc"), names("s")),
		node("Clip", "clip", names("s", "", "six"), names("t")),
		node("LeakyRelu", "leaky", names("t"), names("u"), Msg(Bytes(1, "alpha"), Float(2, 0.25), Int(20, 1))),
		node("Transpose", "turn", names("u"), names("v"), ints("perm", 1, 0)),
		node("Concat", "cat", names("v", "v"), names("y"), Msg(Bytes(1, "axis"), Int(3, 0), Int(20, 2))),
		initializer("six", tensor.Float32, nil, Floats(4, 6)),
		input("x", tensor.Float32, 3, 2), output("y"), output("cc"), output("x"))
}

func TestLoadOfSaveIsTheSameGraph(t *testing.T) {
	for name, data := range map[string][]byte{"small": small(), "several": several()} {
		g := mustLoad(t, data)
		var b bytes.Buffer
		if err := Save(&b, g); err != nil {
			t.Fatal(err)
		}
		again := mustLoad(t, b.Bytes())
		sameGraph(t, again, g)
		var c bytes.Buffer
		if err := Save(&c, again); err != nil || !bytes.Equal(b.Bytes(), c.Bytes()) {
			t.Errorf("%s: saved again, the file has other bytes (%v)", name, err)
		}
	}
}

// The bytes are written out by hand from the schema.
func TestSaveWritesAValidModel(t *testing.T) {
	var b bytes.Buffer
	if err := Save(&b, mustLoad(t, small())); err != nil {
		t.Fatal(err)
	}
	unpacked := Msg(Int(1, 3))
	typed := func(num int, name string) []byte {
		return Sub(num, Bytes(1, name), Sub(2, Sub(1, Int(1, 1), Sub(2, Sub(1, Int(1, 1)), Sub(1, Int(1, 3))))))
	}
	want := Msg(Int(1, 7), Bytes(2, "scission"), Sub(7,
		node("Add", "sum", names("x", "w"), names("s")), node("Relu", "Relu_1", names("s"), names("y")), Bytes(2, "small"),
		Sub(5, unpacked, Int(2, 1), Bytes(8, "w"), Bytes(9, "\x00\x00\x80\x3f\x00\x00\x00\xc0\x00\x00\x40\x40")),
		typed(11, "x"), typed(12, "y")), Sub(8, Int(2, 13)))
	// Within a node, ONNX's fields are input 1, output 2, name 3, op_type 4.
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("got  %q\nwant %q", b.Bytes(), want)
	}
}

func TestSaveMakesNamesUnique(t *testing.T) {
	spec := &graph.Spec{Type: "Add", Version: 13}
	op, err := ops.New("", "Add", 13, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := &graph.Graph{}
	v := g.Input("v", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1}})
	last := v
	for range 3 {
		out, err := g.Add("n", op, spec, []*graph.Value{last, graph.Constant("v", tensor.Of([]float32{1}, 1))}, "v")
		if err != nil {
			t.Fatal(err)
		}
		last = out[0]
	}
	last.Name = "out"
	g.Nodes[1].Name, g.Nodes[0].Out[0].Name = "", ""
	g.Outputs = []*graph.Value{last}
	var b bytes.Buffer
	if err := Save(&b, g); err != nil {
		t.Fatal(err)
	}
	got := mustLoad(t, b.Bytes())
	var nodes, values []string
	for _, n := range got.Nodes {
		nodes = append(nodes, n.Name)
		values = append(values, n.In[0].Name, n.In[1].Name, n.Out[0].Name)
	}
	if want := names("n", "Add", "n_1"); !slices.Equal(nodes, want) {
		t.Errorf("got nodes %v, want %v", nodes, want)
	}
	if want := names("v", "v_1", "value", "value", "v_2", "v_3", "v_3", "v_4", "out"); !slices.Equal(values, want) {
		t.Errorf("got values %v, want %v", values, want)
	}
}

func TestSaveImportsTheNewestOpset(t *testing.T) {
	relu := func(g *graph.Graph, in *graph.Value, version int, name string) *graph.Value {
		op, err := ops.New("", name, version, nil)
		if err != nil {
			t.Fatal(err)
		}
		out, err := g.Add(name, op, &graph.Spec{Type: name, Version: version}, []*graph.Value{in}, name)
		if err != nil {
			t.Fatal(err)
		}
		g.Outputs = out
		return out[0]
	}
	for _, c := range []struct{ opset, ir int }{{7, 4}, {9, 4}, {10, 5}, {11, 6}, {13, 7}, {17, 8}, {20, 9}, {22, 10}, {23, 11}, {24, 12}, {26, 13}} {
		g := &graph.Graph{}
		x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{2, 3}})
		relu(g, relu(g, x, 7, "Relu"), c.opset, "Sigmoid")
		var b bytes.Buffer
		if err := Save(&b, g); err != nil {
			t.Fatal(err)
		}
		m := mustParse(t, b.Bytes())
		if m.Opsets()[""] != c.opset || int(m.IRVersion()) != c.ir {
			t.Errorf("got opset %d, IR %d, want %d and %d", m.Opsets()[""], m.IRVersion(), c.opset, c.ir)
		}
	}
	// Softmax of opset 11 works on a matrix, that of 13 along one axis.
	g := &graph.Graph{}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{2, 3, 4}})
	relu(g, relu(g, x, 11, "Softmax"), 13, "Relu")
	if err := Save(io.Discard, g); err == nil || !strings.Contains(err.Error(), `"Softmax"`) {
		t.Errorf("a Softmax that would change its meaning was saved: %v", err)
	}
}

func TestSaveRefuses(t *testing.T) {
	g := mustLoad(t, small())
	g.Nodes[0].Spec = nil
	if err := Save(io.Discard, g); err == nil || !strings.Contains(err.Error(), `"sum"`) {
		t.Errorf("a node without spec: got %v, want an error that names it", err)
	}
	g = mustLoad(t, small())
	g.Nodes[0], g.Nodes[1] = g.Nodes[1], g.Nodes[0]
	if err := Save(io.Discard, g); err == nil {
		t.Error("a graph out of order was saved")
	}
}
