//go:build !riscv64

package onnxgo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/owulveryck/onnx-go"
	gonum "gonum.org/v1/gonum/graph"
	gorgonia "gorgonia.org/tensor"

	"scission/engine"
	"scission/engine/tensor"
	"scission/onnximport"
	. "scission/onnximport/internal/pbtest"
	"scission/ops"
)

// model is a ModelProto of opset 13 with the given fields of its graph.
func model(graph ...[]byte) []byte {
	return Msg(Int(1, 8), Bytes(7, Msg(graph...)), Sub(8, Int(2, 13)))
}

// op is a node; in and out are names with blanks between, "-" for an omitted one.
func op(kind, in, out string, attrs ...[]byte) []byte {
	var f []byte
	for i, list := range []string{in, out} {
		for _, s := range strings.Fields(list) {
			f = append(f, Bytes(1+i, strings.TrimPrefix(s, "-"))...)
		}
	}
	f = append(f, Bytes(4, kind)...)
	for _, a := range attrs {
		f = append(f, Bytes(5, a)...)
	}
	return Bytes(1, f)
}

// declare is a ValueInfoProto of field num; a dimension of -1 is unknown.
func declare(num int, name string, dtype tensor.DType, dims ...int64) []byte {
	var shape []byte
	for _, d := range dims {
		if d < 0 {
			shape = append(shape, Sub(1)...)
		} else {
			shape = append(shape, Sub(1, Int(1, d))...)
		}
	}
	return Sub(num, Bytes(1, name), Sub(2, Sub(1, Int(1, int64(dtype)), Bytes(2, shape))))
}

const inputs, outputs, infos = 11, 12, 13

func weight(name string, dims []int64, values ...float32) []byte {
	return Sub(5, Ints(1, dims...), Int(2, 1), Bytes(8, name), Floats(4, values...))
}

func numbers(shape []int, v ...float32) gorgonia.Tensor {
	return gorgonia.New(gorgonia.WithShape(shape...), gorgonia.WithBacking(v))
}

// decode lets onnx-go decode a model as any program does, and safely.
func decode(t *testing.T, data []byte, f func(t *testing.T, m *onnx.Model, g *Graph)) {
	t.Run("UnmarshalBinary", func(t *testing.T) {
		g := NewGraph(Options{Opset: 13})
		m := onnx.NewModel(g)
		if err := m.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		f(t, m, g)
	})
	t.Run("Unmarshal", func(t *testing.T) {
		m, g, err := Unmarshal(data, Options{})
		if err != nil {
			t.Fatal(err)
		}
		f(t, m, g)
	})
}

func run(t *testing.T, m *onnx.Model, g *Graph, in ...gorgonia.Tensor) []gorgonia.Tensor {
	t.Helper()
	for i, x := range in {
		if err := m.SetInput(i, x); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Run(); err != nil {
		t.Fatal(err)
	}
	out, err := m.GetOutputTensors()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func want(t *testing.T, got gorgonia.Tensor, shape []int, v ...float32) {
	t.Helper()
	if got == nil || !slices.Equal([]int(got.Shape()), shape) || !slices.Equal(got.Data().([]float32), v) {
		t.Errorf("got %v, want %v of shape %v", got, v, shape)
	}
}

func TestRunsOfOneModelAreIndependent(t *testing.T) {
	data := model(op("Add", "x w", "s"), op("Relu", "s", "y"), weight("w", []int64{2}, 1, -1),
		declare(inputs, "x", tensor.Float32, -1, 2), declare(outputs, "y", tensor.Float32, -1, 2))
	decode(t, data, func(t *testing.T, m *onnx.Model, g *Graph) {
		first := run(t, m, g, numbers([]int{1, 2}, 1, 5))[0]
		want(t, first, []int{1, 2}, 2, 4)
		want(t, run(t, m, g)[0], []int{1, 2}, 2, 4)
		// Another shape, and back again.
		want(t, run(t, m, g, numbers([]int{3, 2}, 0, 0, 1, 1, 2, 2))[0], []int{3, 2}, 1, 0, 2, 0, 3, 1)
		want(t, run(t, m, g, numbers([]int{1, 2}, -5, 9))[0], []int{1, 2}, 0, 8)
		want(t, first, []int{1, 2}, 2, 4)
	})
}

func TestInputsAreCountedWithoutInitializers(t *testing.T) {
	// onnx-go itself would set w instead of x.
	data := model(op("Sub", "x w", "y"), weight("w", []int64{2}, 1, 2),
		declare(inputs, "w", tensor.Float32, 2), declare(inputs, "x", tensor.Float32, 2), declare(outputs, "y", tensor.Float32, 2))
	decode(t, data, func(t *testing.T, m *onnx.Model, g *Graph) {
		want(t, run(t, m, g, numbers([]int{2}, 5, 7))[0], []int{2}, 4, 5)
	})
}

func TestOperandsKeepTheirPlaces(t *testing.T) {
	limit := weight("limit", []int64{}, 2)
	for _, c := range []struct {
		name string
		data []byte
		want []float32
	}{
		{"an omitted one", model(op("Clip", "x - limit", "y"), limit,
			declare(inputs, "x", tensor.Float32, 3), declare(outputs, "y", tensor.Float32, 3)), []float32{-1, 2, 2}},
		{"one twice", model(op("Mul", "x x", "y"),
			declare(inputs, "x", tensor.Float32, 3), declare(outputs, "y", tensor.Float32, 3)), []float32{1, 9, 4}},
		{"of the second result", model(op("Split", "x", "- y", Msg(Bytes(1, "axis"), Int(3, 0), Int(20, 2))), op("Relu", "y", "z"),
			declare(inputs, "x", tensor.Float32, 3), declare(outputs, "z", tensor.Float32, 1)), nil},
		{"none", model(op("Constant", "", "c", Msg(Bytes(1, "value_floats"), Floats(7, 1, 2, 3), Int(20, 6))), op("Add", "c x", "y"),
			declare(inputs, "x", tensor.Float32, 3), declare(outputs, "y", tensor.Float32, 3)), []float32{0, 5, 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			decode(t, c.data, func(t *testing.T, m *onnx.Model, g *Graph) {
				if c.want == nil {
					out := run(t, m, g, numbers([]int{4}, -1, 3, -2, 4))
					want(t, out[0], []int{2}, 0, 4)
					return
				}
				want(t, run(t, m, g, numbers([]int{3}, -1, 3, 2))[0], []int{3}, c.want...)
			})
		})
	}
}

func TestResultsThatAreReadAreOutputsToo(t *testing.T) {
	// s is an output and read; h is none, but can be asked for.
	data := model(op("Neg", "x", "h"), op("Relu", "h", "s"), op("Add", "s s", "y"),
		declare(inputs, "x", tensor.Float32, 2), declare(outputs, "s", tensor.Float32, 2), declare(outputs, "y", tensor.Float32, 2))
	decode(t, data, func(t *testing.T, m *onnx.Model, g *Graph) {
		for _, x := range []float32{3, 4} {
			out := run(t, m, g, numbers([]int{2}, -x, x))
			want(t, out[0], []int{2}, x, 0)
			want(t, out[1], []int{2}, 2*x, 0)
			h, _ := m.GetNodeByName("h")
			want(t, h.(onnx.DataCarrier).GetTensor(), []int{2}, x, -x)
		}
	})
}

func TestAnInitializerCanBeReplaced(t *testing.T) {
	data := model(op("Mul", "x w", "y"), weight("w", []int64{2}, 1, 2),
		declare(inputs, "x", tensor.Float32, 2), declare(outputs, "y", tensor.Float32, 2))
	decode(t, data, func(t *testing.T, m *onnx.Model, g *Graph) {
		want(t, run(t, m, g, numbers([]int{2}, 5, 7))[0], []int{2}, 5, 14)
		w, _ := m.GetNodeByName("w")
		if err := w.(onnx.DataCarrier).SetTensor(numbers([]int{2}, -1, 0.5)); err != nil {
			t.Fatal(err)
		}
		want(t, run(t, m, g)[0], []int{2}, -5, 3.5)
	})
}

// span is a gorgonia.Slice from its first to before its second number.
type span [2]int

func (s span) Start() int { return s[0] }
func (s span) End() int   { return s[1] }
func (s span) Step() int  { return 1 }

func TestViewsAreReadAsTheyAreSeen(t *testing.T) {
	matrix := numbers([]int{2, 3}, 1, 2, 3, 4, 5, 6)
	column, err := matrix.Slice(nil, span{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	part, err := matrix.Slice(nil, span{1, 3})
	if err != nil {
		t.Fatal(err)
	}
	turned := numbers([]int{2, 3}, 1, 2, 3, 4, 5, 6)
	if err := turned.T(); err != nil {
		t.Fatal(err)
	}
	fortran := gorgonia.New(gorgonia.WithShape(2, 3), gorgonia.AsFortran([]float32{1, 2, 3, 4, 5, 6}))
	for _, c := range []struct {
		x    gorgonia.Tensor
		want *tensor.Tensor
	}{
		{matrix, tensor.Of([]float32{1, 2, 3, 4, 5, 6}, 2, 3)},
		{column, tensor.Of([]float32{2, 5}, 2)},
		{part, tensor.Of([]float32{2, 3, 5, 6}, 2, 2)},
		{turned, tensor.Of([]float32{1, 4, 2, 5, 3, 6}, 3, 2)},
		{fortran, tensor.Of([]float32{1, 2, 3, 4, 5, 6}, 2, 3)},
		{gorgonia.New(gorgonia.FromScalar(float32(7))), tensor.Scalar[float32](7)},
		{gorgonia.New(gorgonia.WithShape(1), gorgonia.WithBacking([]int64{7})), tensor.Of([]int64{7}, 1)},
	} {
		got, err := fromGorgonia(c.x)
		if err != nil || !got.Identical(c.want) {
			t.Errorf("got %v, %v, want %v", got, err, c.want)
		}
	}
	for _, x := range []gorgonia.Tensor{
		gorgonia.New(gorgonia.WithBacking([]string{"a", "b"})),
		gorgonia.New(gorgonia.WithBacking([]int{1, 2})),
		gorgonia.CSRFromCoord(gorgonia.Shape{2, 2}, []int{0}, []int{1}, []float32{1}),
	} {
		if got, err := fromGorgonia(x); err == nil {
			t.Errorf("%T of %v: got %v, want an error", x, x.Dtype(), got)
		}
	}
}

func TestEveryTypeOfElementsGoesThereAndBack(t *testing.T) {
	shared := []tensor.DType{
		tensor.Float32, tensor.Float64, tensor.Bool, tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64,
		tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64,
	}
	for d := range tensor.DType(64) {
		if !d.Valid() {
			continue
		}
		if !slices.Contains(shared, d) {
			if y, err := toGorgonia(tensor.New(d, 2)); err == nil {
				t.Errorf("%v became %v, want an error", d, y)
			}
			continue
		}
		for _, shape := range []tensor.Shape{{}, {1}, {2, 3}} {
			x := tensor.New(d, shape...)
			for i := range x.Raw {
				x.Raw[i] = byte(i % 2)
			}
			y, err := toGorgonia(x)
			if err != nil {
				t.Fatal(err)
			}
			if z, err := fromGorgonia(y); err != nil || !z.Identical(x) {
				t.Errorf("%v became %v, %v", x, z, err)
			}
		}
	}
	if y, err := toGorgonia(tensor.New(tensor.Float32, 2, 0)); err == nil {
		t.Errorf("no elements became %v, want an error", y)
	}
}

func TestRunNamesWhatIsWrong(t *testing.T) {
	data := model(op("Add", "x w", "s"), op("Relu", "s", "y"), weight("w", []int64{2}, 1, -1),
		declare(inputs, "x", tensor.Float32, 2), declare(outputs, "y", tensor.Float32, 2))
	decode(t, data, func(t *testing.T, m *onnx.Model, g *Graph) {
		fails := func(want string) {
			t.Helper()
			if err := g.Run(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error with %q", err, want)
			}
			if out, err := m.GetOutputTensors(); err != nil || out[0] != nil {
				t.Errorf("got outputs %v, %v after an error", out, err)
			}
		}
		fails(`input "x": it is not set`)
		if err := m.SetInput(0, numbers([]int{3}, 1, 2, 3)); err != nil {
			t.Fatal(err)
		}
		fails("Add_0")
		if err := m.SetInput(0, gorgonia.New(gorgonia.WithBacking([]int64{1, 2}))); err != nil {
			t.Fatal(err)
		}
		fails(`input "x": it is of int64, want float32`)
		want(t, run(t, m, g, numbers([]int{2}, 1, 2))[0], []int{2}, 2, 1)
		y, _ := m.GetNodeByName("y")
		if err := y.(onnx.DataCarrier).SetTensor(numbers([]int{1}, 1)); err == nil {
			t.Error("a tensor for a result is no error")
		}
		if err := m.SetInput(0, nil); err == nil {
			t.Error("a nil tensor is no error")
		}
	})
	g := NewGraph(Options{Engine: engine.Options{Memory: 1 << 10}, Opset: 13})
	m := onnx.NewModel(g)
	if err := m.UnmarshalBinary(model(op("Exp", "x", "y"), declare(inputs, "x", tensor.Float32, 1), declare(outputs, "y", tensor.Float32, 1))); err != nil {
		t.Fatal(err)
	}
	if err := m.SetInput(0, numbers([]int{1 << 12}, make([]float32, 1<<12)...)); err != nil {
		t.Fatal(err)
	}
	if err := g.Run(); err == nil {
		t.Error("a value beyond the memory is no error")
	}
}

func TestWhatIsNotSupportedIsOnnxGosOwnError(t *testing.T) {
	for _, data := range [][]byte{
		model(op("Spam", "x", "y"), declare(inputs, "x", tensor.Float32, 1), declare(outputs, "y", tensor.Float32, 1)),
		model(op("Relu", "x", "y", Msg(Bytes(1, "spam"), Int(3, 1), Int(20, 2))), declare(inputs, "x", tensor.Float32, 1), declare(outputs, "y", tensor.Float32, 1)),
	} {
		err := onnx.NewModel(NewGraph(Options{Opset: 13})).UnmarshalBinary(data)
		if missing, ok := err.(*onnx.ErrNotImplemented); !ok || !strings.Contains(missing.Message, "13") {
			t.Errorf("got %T %v, want an *onnx.ErrNotImplemented with the opset", err, err)
		}
		if _, _, err := Unmarshal(data, Options{}); !errors.As(err, new(*onnx.ErrNotImplemented)) {
			t.Errorf("got %v, want an *onnx.ErrNotImplemented", err)
		}
	}
}

func TestUnmarshalNamesWhatOnnxGoCannotRead(t *testing.T) {
	x, y := declare(inputs, "x", tensor.Float32, 2), declare(outputs, "y", tensor.Float32, 2)
	relu := op("Relu", "x", "y")
	tensorAttr := func(fields ...[]byte) []byte { return Msg(Bytes(1, "value"), Sub(5, fields...), Int(20, 4)) }
	raw := func(dtype tensor.DType, dims []int64, b ...byte) []byte {
		return Sub(5, Ints(1, dims...), Int(2, int64(dtype)), Bytes(8, "w"), Bytes(9, b))
	}
	with := func(initializer []byte) []byte { return model(op("Add", "x w", "y"), initializer, x, y) }
	huge := declare(inputs, "x", tensor.Float32, 1<<20, 1<<20)
	for _, c := range []struct {
		name string
		data []byte
		want string
		is   error
	}{
		{"no protobuf", []byte("spam"), "", onnximport.ErrFormat},
		{"cut off", model(relu, x, y)[:30], "", onnximport.ErrFormat},
		{"another opset", model(relu, x, y), "opset 13, want 12", nil},
		{"no opset of ai.onnx", Msg(Int(1, 8), Sub(7, relu, x, y), Sub(8, Bytes(1, "com.microsoft"), Int(2, 1))), "no opset of ai.onnx", onnximport.ErrFormat},
		{"a cycle", model(op("Add", "x y", "s"), op("Relu", "s", "y"), x, y), "cycle", onnximport.ErrFormat},
		{"no graph", Msg(Int(1, 8), Sub(8, Int(2, 13))), "no graph", onnximport.ErrFormat},
		{"an operator of a domain", Msg(Int(1, 8), Sub(7, Sub(1, Bytes(1, "x"), Bytes(2, "y"), Bytes(4, "Gelu"), Bytes(7, "com.microsoft")), x, y),
			Sub(8, Int(2, 13)), Sub(8, Bytes(1, "com.microsoft"), Int(2, 1))), "com.microsoft", ops.ErrUnsupported},
		{"int8", with(raw(tensor.Int8, []int64{2}, 1, 2)), "INT8", ops.ErrUnsupported},
		{"float16", with(raw(tensor.Float16, []int64{1}, 1, 2)), "FLOAT16", ops.ErrUnsupported},
		{"bool as bytes", with(raw(tensor.Bool, []int64{8}, 1, 0, 1, 0, 1, 0, 1, 0)), "misreads", ops.ErrUnsupported},
		{"no elements", with(raw(tensor.Float32, []int64{0})), "no elements", ops.ErrUnsupported},
		{"too few elements", with(raw(tensor.Float32, []int64{2}, 0, 0, 0, 0)), "1 elements for shape [2]", onnximport.ErrFormat},
		{"a size that overflows", with(raw(tensor.Float32, []int64{1 << 31, 1 << 31, 1 << 31}, 0, 0, 0, 0)), "", onnximport.ErrFormat},
		{"external data", with(Sub(5, Ints(1, 2), Int(2, 1), Bytes(8, "w"), Sub(13, Bytes(1, "location"), Bytes(2, "w.bin")), Int(14, 1))), "in another file", ops.ErrUnsupported},
		{"a sparse initializer", model(relu, x, y, Sub(15, Sub(1, Ints(1, 1), Int(2, 1), Bytes(8, "s"), Floats(4, 1)), Sub(2, Ints(1, 1), Int(2, 7), Ints(7, 0)), Ints(3, 2))),
			"sparse", ops.ErrUnsupported},
		{"a graph", model(op("If", "c", "y", Msg(Bytes(1, "then_branch"), Sub(6, declare(outputs, "x", tensor.Float32, 2)), Int(20, 5))), x, y,
			declare(inputs, "c", tensor.Bool, 1)), "GRAPH", ops.ErrUnsupported},
		{"tensors as attribute", model(op("Relu", "x", "y", Msg(Bytes(1, "a"), Int(20, 9))), x, y), "TENSORS", ops.ErrUnsupported},
		{"an attribute without type", model(op("Relu", "x", "y", Msg(Bytes(1, "a"))), x, y), `"a"`, ops.ErrUnsupported},
		{"a tensor attribute without elements", model(op("Constant", "", "c", tensorAttr(Ints(1, 0), Int(2, 1))), relu, x, y), "no elements", ops.ErrUnsupported},
		{"an input without elements", model(relu, declare(inputs, "x", tensor.Float32, 0), y), "dimension 0", ops.ErrUnsupported},
		{"a sequence", model(relu, Sub(inputs, Bytes(1, "x"), Sub(2, Sub(4))), y), "no tensor", ops.ErrUnsupported},
		{"a terabyte", model(relu, huge, y), "limit", tensor.ErrType},
		{"no nodes", model(x, declare(outputs, "x", tensor.Float32, 2)), "without nodes", ops.ErrUnsupported},
	} {
		o := Options{}
		if c.name == "another opset" {
			o.Opset = 12
		}
		m, g, err := Unmarshal(c.data, o)
		if err == nil || m != nil || g != nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: got %v, want an error with %q that is %v", c.name, err, c.want, c.is)
		}
	}
}

// onnx-go makes a tensor of each type that a file declares; these would take 4 TB.
func TestUnmarshalMakesNoTensorsOfIntermediateResults(t *testing.T) {
	huge := []int64{1 << 20, 1 << 20}
	data := model(op("Relu", "x", "h"), op("Neg", "h", "y"), declare(inputs, "x", tensor.Float32, -1), declare(infos, "h", tensor.Float32, huge...),
		declare(outputs, "y", tensor.Float32, huge...))
	m, g, err := Unmarshal(data, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want(t, run(t, m, g, numbers([]int{2}, 1, -1))[0], []int{2}, -1, 0)
}

func TestTheGraphIsWhatTheInterfacesOfGonumSay(t *testing.T) {
	data := model(op("Sub", "x w", "s"), op("Mul", "s s", "y"), weight("w", []int64{2}, 1, -1),
		declare(inputs, "x", tensor.Float32, 2), declare(outputs, "y", tensor.Float32, 2))
	g := NewGraph(Options{Opset: 13})
	m := onnx.NewModel(g)
	if err := m.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	names := func(nodes gonum.Nodes) string {
		var s []string
		for _, n := range gonum.NodesOf(nodes) {
			s = append(s, n.(onnx.Namer).GetName())
		}
		return strings.Join(s, " ")
	}
	id := map[string]int64{}
	for _, n := range gonum.NodesOf(g.Nodes()) {
		if g.Node(n.ID()) != n {
			t.Errorf("node %d is %v, want %v", n.ID(), g.Node(n.ID()), n)
		}
		id[n.(onnx.Namer).GetName()] = n.ID()
	}
	for got, want := range map[string]string{
		"all: " + names(g.Nodes()):          "all: x y w s",
		"from s: " + names(g.From(id["s"])): "from s: x w",
		"to s: " + names(g.To(id["s"])):     "to s: y",
		"from y: " + names(g.From(id["y"])): "from y: s",
		"to x: " + names(g.To(id["x"])):     "to x: s",
		"from x: " + names(g.From(id["x"])): "from x: ",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if w, ok := g.Weight(id["s"], id["w"]); !ok || w != 1 || !g.HasEdgeFromTo(id["s"], id["w"]) || g.HasEdgeFromTo(id["w"], id["s"]) || !g.HasEdgeBetween(id["w"], id["s"]) {
		t.Errorf("w is operand %v of s, %v, want 1", w, ok)
	}
	if e := g.WeightedEdge(id["s"], id["w"]); e.From().ID() != id["s"] || e.To().ID() != id["w"] || e.Weight() != 1 || e.ReversedEdge().From() != e.To() {
		t.Errorf("got edge %v", e)
	}
	if e := g.Edge(id["x"], id["w"]); e != nil {
		t.Errorf("got edge %v, want none", e)
	}
	if _, ok := g.Weight(id["x"], id["w"]); ok {
		t.Error("there is a weight where there is no edge")
	}
	if n := g.Node(id["s"] + 100); n != nil {
		t.Errorf("got node %v, want none", n)
	}
	if got := fmt.Sprint(m.Input, m.Output); got != fmt.Sprint([]int64{id["x"]}, []int64{id["y"]}) {
		t.Errorf("got inputs and outputs %s", got)
	}
}
