package onnximport

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"scission/engine/graph"
	"scission/engine/tensor"
	. "scission/onnximport/internal/pbtest"
	"scission/ops"
)

func TestGraphIsWhatTheFileSays(t *testing.T) {
	m := mustParse(t, small())
	name, version := m.Producer()
	if name != "test" || version != "1.2" || m.IRVersion() != 8 || m.Name() != "small" || m.Opsets()[""] != 13 ||
		m.Nodes() != 2 || m.Initializers() != 1 {
		t.Errorf("got producer %s %s, IR %d, name %q, opsets %v, %d nodes, %d initializers",
			name, version, m.IRVersion(), m.Name(), m.Opsets(), m.Nodes(), m.Initializers())
	}
	if in := m.Inputs(); len(in) != 1 || in[0].Name != "x" || in[0].DType != tensor.Float32 || fmt.Sprint(in[0].Dims) != "[N 3]" {
		t.Errorf("got inputs %v, want x float32[N 3]", m.Inputs())
	}
	g, err := m.Graph(map[string]tensor.Shape{"x": {4, 3}})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	if g.Name != "small" || len(g.Nodes) != 2 || g.Nodes[0].Name != "sum" || g.Nodes[1].Name != "Relu_1" {
		t.Fatalf("got graph %q with nodes %v, want small with sum and Relu_1", g.Name, g.Nodes)
	}
	sum, relu := g.Nodes[0], g.Nodes[1]
	if sum.In[0] != g.Inputs[0] || relu.In[0] != sum.Out[0] || g.Outputs[0] != relu.Out[0] || sum.Out[0].Name != "s" || relu.Out[0].Name != "y" {
		t.Error("the nodes are wired otherwise than in the file")
	}
	w := sum.In[1]
	if w.Name != "w" || w.Const == nil || !w.Const.Identical(tensor.Of([]float32{1, -2, 3}, 3)) {
		t.Errorf("got constant %v, want w = [1 -2 3]", w)
	}
	if want := (tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{4, 3}}); !g.Inputs[0].Type.Equal(want) || !g.Outputs[0].Type.Equal(want) {
		t.Errorf("got %v -> %v, want %v", g.Inputs[0].Type, g.Outputs[0].Type, want)
	}
	if s := sum.Spec; s == nil || s.Type != "Add" || s.Domain != "" || s.Version != 13 || len(s.Attrs) != 0 {
		t.Errorf("got spec %+v, want Add of opset 13", s)
	}
}

func TestAnInitializerThatIsAnInputIsConstant(t *testing.T) {
	m := mustParse(t, model(node("Add", "n", names("x", "w"), names("y")), initializer("w", tensor.Float32, []int64{1}, Floats(4, 1)),
		input("w", tensor.Float32, 1), input("x", tensor.Float32, 2), output("y")))
	g, err := m.Graph(nil)
	if err != nil || len(g.Inputs) != 1 || g.Inputs[0].Name != "x" || len(m.Inputs()) != 1 {
		t.Errorf("got %v, %v, want only the input x", g, err)
	}
}

func TestSymbolicDimensions(t *testing.T) {
	data := model(node("Add", "n", names("a", "b"), names("y")),
		input("a", tensor.Float32, "N", 3, nil), input("b", tensor.Float32, "N", 3, 1), output("y"))
	m := mustParse(t, data)
	for _, c := range []struct {
		shapes map[string]tensor.Shape
		want   string // the shapes of a and b, or a part of the error
	}{
		{nil, "[1 3 1] [1 3 1]"},
		{map[string]tensor.Shape{"a": {5, 3, 7}}, "[5 3 7] [5 3 1]"},
		{map[string]tensor.Shape{"b": {5, 3, 1}}, "[5 3 1] [5 3 1]"},
		{map[string]tensor.Shape{"a": {5, 3, 7}, "b": {5, 3, 1}}, "[5 3 7] [5 3 1]"},
		{map[string]tensor.Shape{"a": {5, 3, 7}, "b": {6, 3, 1}}, `input "b": got 6 for dimension "N", want 5 as in input "a"`},
		{map[string]tensor.Shape{"a": {5, 4, 7}}, `input "a": got 4 for dimension 1, want 3`},
		{map[string]tensor.Shape{"a": {5, 3}}, `input "a": got shape [5 3] of rank 2, want rank 3`},
		{map[string]tensor.Shape{"a": {-5, 3, 7}}, "negative"},
		{map[string]tensor.Shape{"a": {5, 3, math.MaxInt}}, "overflows"},
		{map[string]tensor.Shape{"y": {5, 3, 7}}, `"y", which is no input`},
	} {
		g, err := m.Graph(c.shapes)
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(g.Inputs[0].Shape, g.Inputs[1].Shape)
		}
		if err == nil && got != c.want || err != nil && !strings.Contains(got, c.want) {
			t.Errorf("%v: got %s, want %s", c.shapes, got, c.want)
		}
	}
}

func TestGraphForTakesTheTypesInOrder(t *testing.T) {
	m := mustParse(t, model(node("Add", "n", names("a", "b"), names("y")),
		input("a", tensor.Float32, "N", 3), input("b", tensor.Float32, "N", 1), output("y")))
	typ := func(d tensor.DType, s ...int) tensor.Type { return tensor.Type{DType: d, Shape: s} }
	g, err := m.GraphFor([]tensor.Type{typ(tensor.Float32, 5, 3), typ(tensor.Float32, 5, 1)})
	if err != nil || !g.Outputs[0].Shape.Equal(tensor.Shape{5, 3}) {
		t.Errorf("got %v, %v, want an output of shape [5 3]", g, err)
	}
	for want, in := range map[string][]tensor.Type{
		"got 1 inputs, want 2":             {typ(tensor.Float32, 5, 3)},
		`input "b" is int64, want float32`: {typ(tensor.Float32, 5, 3), typ(tensor.Int64, 5, 1)},
		`got 6 for dimension "N", want 5`:  {typ(tensor.Float32, 5, 3), typ(tensor.Float32, 6, 1)},
		"of rank 1, want rank 2":           {typ(tensor.Float32, 5), typ(tensor.Float32, 5, 1)},
	} {
		if _, err := m.GraphFor(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %q", err, want)
		}
	}
}

func TestAnInputWithoutShapeNeedsOne(t *testing.T) {
	m := mustParse(t, model(node("Relu", "n", names("x"), names("y")), Sub(11, Bytes(1, "x"), Sub(2, Sub(1, Int(1, 1)))), output("y")))
	if _, err := m.Graph(nil); err == nil || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("got %v, want an error that names x", err)
	}
	g, err := m.Graph(map[string]tensor.Shape{"x": {2, 3}})
	if err != nil || !g.Inputs[0].Shape.Equal(tensor.Shape{2, 3}) || !m.Inputs()[0].Unranked {
		t.Errorf("got %v, %v, want shape [2 3]", g, err)
	}
}

// Elements of less than 8 bits share bytes in a file, and the numbers of int32_data are
// such bytes: onnx.proto, TensorProto.
func TestNarrowTypesAreUnpacked(t *testing.T) {
	for _, c := range []struct {
		dtype tensor.DType
		file  []byte
		want  []byte
	}{
		{tensor.Int4, []byte{0x81, 0x0f}, []byte{1, 0xf8, 0xff}},
		{tensor.Uint4, []byte{0x81, 0x0f}, []byte{1, 8, 15}},
		{tensor.Float4E2M1, []byte{0x81, 0x0f}, []byte{1, 8, 15}},
		{tensor.Uint2, []byte{0x36}, []byte{2, 1, 3}},
		{tensor.Int2, []byte{0x36}, []byte{0xfe, 1, 0xff}},
		{tensor.Float8E4M3FN, []byte{0x38, 0x7e, 0xff}, []byte{0x38, 0x7e, 0xff}},
		{tensor.Float8E8M0, []byte{0, 127, 255}, []byte{0, 127, 255}},
	} {
		var numbers []int64
		for _, b := range c.file {
			numbers = append(numbers, int64(b))
		}
		for form, data := range map[string][]byte{"typed": Ints(5, numbers...), "raw": Bytes(9, string(c.file))} {
			x, _, err := ReadTensor(tensorOf("w", c.dtype, []int64{3}, data), 3)
			want := &tensor.Tensor{Type: tensor.Type{DType: c.dtype, Shape: tensor.Shape{3}}, Raw: c.want}
			if err != nil || !x.Identical(want) {
				t.Errorf("%v, %s: got %v, %v, want %v", c.dtype, form, x, err, want)
				continue
			}
			p, err := tensorProto(x)
			if err != nil || string(p.RawData) != string(c.file) {
				t.Errorf("%v: written as % x, %v, want % x", c.dtype, p.RawData, err, c.file)
			}
		}
		if _, _, err := ReadTensor(tensorOf("w", c.dtype, []int64{9}, Bytes(9, string(c.file))), 9); !errors.Is(err, ErrFormat) {
			t.Errorf("%v: got %v for too few bytes, want ErrFormat", c.dtype, err)
		}
	}
}

func TestTypedFieldsOfEveryType(t *testing.T) {
	for _, c := range []struct {
		dtype tensor.DType
		data  []byte
		raw   string // three elements in little-endian order
	}{
		{tensor.Float32, Floats(4, 1, -2.5, 0), "\x00\x00\x80\x3f\x00\x00\x20\xc0\x00\x00\x00\x00"},
		{tensor.Float32, Msg(Float(4, 1), Float(4, -2.5), Float(4, 0)), "\x00\x00\x80\x3f\x00\x00\x20\xc0\x00\x00\x00\x00"},
		{tensor.Float64, Doubles(10, 1, -2.5, 0), "\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x04\xc0\x00\x00\x00\x00\x00\x00\x00\x00"},
		{tensor.Float16, Ints(5, 0x3c00, 0xc100, 0xffff), "\x00\x3c\x00\xc1\xff\xff"},
		{tensor.BFloat16, Ints(5, 0x3f80, 0xc020, 0), "\x80\x3f\x20\xc0\x00\x00"},
		{tensor.Bool, Ints(5, 1, 0, 1), "\x01\x00\x01"},
		{tensor.Int8, Ints(5, 127, -128, -1), "\x7f\x80\xff"},
		{tensor.Uint8, Ints(5, 127, 255, 0), "\x7f\xff\x00"},
		{tensor.Int16, Ints(5, 32767, -32768, -2), "\xff\x7f\x00\x80\xfe\xff"},
		{tensor.Uint16, Ints(5, 65535, 1, 258), "\xff\xff\x01\x00\x02\x01"},
		{tensor.Int32, Ints(5, math.MaxInt32, math.MinInt32, -2), "\xff\xff\xff\x7f\x00\x00\x00\x80\xfe\xff\xff\xff"},
		{tensor.Int32, Ints(5, 0xfffffffe, 1, 2), "\xfe\xff\xff\xff\x01\x00\x00\x00\x02\x00\x00\x00"}, // not sign-extended
		{tensor.Uint32, Ints(11, math.MaxUint32, 1, 258), "\xff\xff\xff\xff\x01\x00\x00\x00\x02\x01\x00\x00"},
		{tensor.Int64, Ints(7, math.MaxInt64, math.MinInt64, -2), "\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00\x00\x00\x00\x00\x00\x80\xfe\xff\xff\xff\xff\xff\xff\xff"},
		{tensor.Uint64, Ints(11, -1, 1, 258), "\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00\x02\x01\x00\x00\x00\x00\x00\x00"},
	} {
		for form, data := range map[string][]byte{"typed": c.data, "raw": Bytes(9, c.raw)} {
			x, name, err := ReadTensor(tensorOf("w", c.dtype, []int64{1, 3}, data), len(c.raw))
			want := &tensor.Tensor{Type: tensor.Type{DType: c.dtype, Shape: tensor.Shape{1, 3}}, Raw: []byte(c.raw)}
			if err != nil || name != "w" || !x.Identical(want) {
				t.Errorf("%v, %s: got %v %q, %v, want %v", c.dtype, form, x, name, err, want)
			}
			if _, _, err := ReadTensor(tensorOf("w", c.dtype, []int64{1, 3}, data), len(c.raw)-1); !errors.Is(err, tensor.ErrType) {
				t.Errorf("%v, %s: got %v with a limit one byte too small, want tensor.ErrType", c.dtype, form, err)
			}
		}
	}
}

func TestReadTensorRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"too few":               {tensorOf("w", tensor.Float32, []int64{3}, Floats(4, 1, 2)), ErrFormat},
		"too many":              {tensorOf("w", tensor.Int64, []int64{1}, Ints(7, 1, 2)), ErrFormat},
		"none":                  {tensorOf("w", tensor.Int64, []int64{1}), ErrFormat},
		"raw too short":         {tensorOf("w", tensor.Int64, []int64{1}, Bytes(9, "1234567")), ErrFormat},
		"raw and typed":         {tensorOf("w", tensor.Int64, []int64{1}, Ints(7, 1), Bytes(9, "12345678")), ErrFormat},
		"another field":         {tensorOf("w", tensor.Int64, []int64{1}, Ints(5, 1)), ErrFormat},
		"int8 of 128":           {tensorOf("w", tensor.Int8, []int64{1}, Ints(5, 128)), ErrFormat},
		"uint8 of -1":           {tensorOf("w", tensor.Uint8, []int64{1}, Ints(5, -1)), ErrFormat},
		"float16 of 65536":      {tensorOf("w", tensor.Float16, []int64{1}, Ints(5, 65536)), ErrFormat},
		"uint32 of 2^32":        {tensorOf("w", tensor.Uint32, []int64{1}, Ints(11, 1<<32)), ErrFormat},
		"bool of 2":             {tensorOf("w", tensor.Bool, []int64{1}, Ints(5, 2)), ErrFormat},
		"raw bool of 2":         {tensorOf("w", tensor.Bool, []int64{1}, Bytes(9, "\x02")), ErrFormat},
		"no type":               {Msg(Ints(1, 1), Bytes(9, "1234")), ErrFormat},
		"unknown type":          {tensorOf("w", 99, []int64{1}, Bytes(9, "1234")), ErrFormat},
		"negative dimension":    {tensorOf("w", tensor.Float32, []int64{-1}, Bytes(9, "1234")), tensor.ErrType},
		"terabyte":              {tensorOf("w", tensor.Float32, []int64{1 << 20, 1 << 18}, Bytes(9, "1234")), tensor.ErrType},
		"overflow":              {tensorOf("w", tensor.Float32, []int64{1 << 40, 1 << 40}, Bytes(9, "1234")), tensor.ErrType},
		"segment":               {tensorOf("w", tensor.Float32, []int64{1}, Sub(3, Int(1, 0)), Bytes(9, "1234")), ops.ErrUnsupported},
		"raw strings":           {tensorOf("w", 8, []int64{1}, Bytes(9, "text")), ErrFormat},
		"too few strings":       {tensorOf("w", 8, []int64{2}, Bytes(6, "text")), ErrFormat},
		"terabyte of strings":   {tensorOf("w", 8, []int64{1 << 20, 1 << 20}, Bytes(6, "text")), tensor.ErrType},
		"complex64":             {tensorOf("w", 14, []int64{1}, Ints(5, 1)), ops.ErrUnsupported},
		"complex":               {tensorOf("w", 14, []int64{1}, Floats(4, 1, 2)), ops.ErrUnsupported},
		"external":              {tensorOf("w", tensor.Float32, []int64{1}, Int(14, 1), Sub(13, Bytes(1, "location"), Bytes(2, "f"))), nil},
		"random bytes":          {[]byte("\x93NUMPY\x01\x00"), ErrFormat},
		"a sequence, no tensor": {Msg(Bytes(1, "seq"), Int(2, 1), Bytes(3, tensorOf("", tensor.Float32, []int64{1}, Floats(4, 1)))), ErrFormat},
	} {
		x, _, err := ReadTensor(c.data, 1<<30)
		if x != nil || err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, %v, want %v", name, x, err, c.want)
		}
	}
}

func TestRawDataIsAliasedWhereItIsAligned(t *testing.T) {
	const n = 16
	for pad := range 8 {
		// The name moves the data.
		data := tensorOf(strings.Repeat("n", pad+1), tensor.Float32, []int64{n}, Bytes(9, make([]byte, 4*n)))
		b := tensor.Alloc(len(data))
		copy(b, data)
		x, _, err := ReadTensor(b, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		inside := unsafe.SliceData(b[len(b)-4*n:]) == unsafe.SliceData(x.Raw)
		if want := tensor.Aligned(b[len(b)-4*n:], 4); inside != want || !tensor.Aligned(x.Raw, 4) {
			t.Errorf("data at byte %d: shares memory: %v, want %v", len(b)-4*n, inside, want)
		}
	}
}

func TestEmptyTensorsAndOmittedValues(t *testing.T) {
	g := mustLoad(t, model(
		node("Clip", "clip", names("x", "", "max"), names("c")), node("Concat", "cat", names("c", "empty"), names("y"), Msg(Bytes(1, "axis"), Int(3, 0), Int(20, 2))),
		initializer("max", tensor.Float32, nil, Floats(4, 6)), initializer("empty", tensor.Float32, []int64{0}),
		input("x", tensor.Float32, 2), output("y")))
	clip, cat := g.Nodes[0], g.Nodes[1]
	if len(clip.In) != 3 || clip.In[1] != nil || clip.In[2].Const.F32()[0] != 6 || len(clip.In[2].Shape) != 0 {
		t.Errorf("got inputs %v, want x, none and the scalar 6", clip.In)
	}
	if e := cat.In[1].Const; e == nil || !e.Shape.Equal(tensor.Shape{0}) || !g.Outputs[0].Shape.Equal(tensor.Shape{2}) {
		t.Errorf("got %v, want a tensor of no elements and the output [2]", cat.In[1])
	}
}

func TestUnsortedNodesAreSortedStably(t *testing.T) {
	g := mustLoad(t, model(
		node("Relu", "late", names("b"), names("y")), node("Relu", "free", names("x"), names("z")), node("Relu", "mid", names("a"), names("b")),
		node("Relu", "first", names("x"), names("a")), input("x", tensor.Float32, 1), output("y"), output("z")))
	var got []string
	for _, n := range g.Nodes {
		got = append(got, n.Name)
	}
	if want := names("free", "first", "mid", "late"); !slices.Equal(got, want) {
		t.Errorf("got order %v, want %v", got, want)
	}
	if err := g.Check(); err != nil {
		t.Error(err)
	}
}

func TestNodeNamesAreUnique(t *testing.T) {
	g := mustLoad(t, model(
		node("Relu", "", names("x"), names("a")), node("Relu", "n", names("a"), names("b")), node("Relu", "n", names("b"), names("c")),
		node("Relu", "Relu_0", names("c"), names("y")), input("x", tensor.Float32, 1), output("y")))
	var got []string
	for _, n := range g.Nodes {
		got = append(got, n.Name)
	}
	if want := names("Relu_0_1", "n", "n_1", "Relu_0"); !slices.Equal(got, want) {
		t.Errorf("got names %v, want %v", got, want)
	}
}

// Each of these is a broken file; the error must say what is wrong with which.
func TestParseRefusesBrokenGraphs(t *testing.T) {
	x, y, relu := input("x", tensor.Float32, 1), output("y"), node("Relu", "n", names("x"), names("y"))
	one := Floats(4, 1)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":             {nil, "no graph"},
		"text":                {[]byte("this is no model at all"), "protobuf"},
		"no graph":            {Msg(Int(1, 8), Sub(8, Int(2, 13))), "no graph"},
		"no opset":            {Msg(Int(1, 8), Sub(7, relu, x, y)), "no opset"},
		"opset 0":             {Msg(Int(1, 8), Sub(7, relu, x, y), Sub(8, Int(2, 0))), "opset 0"},
		"opset of elsewhere":  {Msg(Int(1, 8), Sub(7, relu, x, y), Sub(8, Bytes(1, "com.example"), Int(2, 1))), `node "n": operator Relu of domain ai.onnx: not a valid ONNX file: the file imports no opset`},
		"no outputs":          {model(relu, x), "no outputs"},
		"cycle":               {model(node("Add", "p", names("x", "b"), names("a")), node("Relu", "q", names("a"), names("b")), node("Relu", "r", names("b"), names("y")), x, y), `cycle: "q" reads from "p" reads from "q"`},
		"own output":          {model(node("Add", "p", names("x", "y"), names("y")), x, y), `cycle: "p" reads from "p"`},
		"missing value":       {model(node("Add", "n", names("x", "nowhere"), names("y")), x, y), `node "n" reads "nowhere"`},
		"missing output":      {model(relu, x, output("z")), `"z"`},
		"output without name": {model(relu, x, output("")), `""`},
		"two producers":       {model(relu, node("Relu", "m", names("x"), names("y")), x, y), `"y" is computed by both node "n" and node "m"`},
		"computed input":      {model(node("Relu", "n", names("x"), names("x")), x, y), `node "n" computes "x"`},
		"computed constant":   {model(relu, initializer("y", tensor.Float32, []int64{1}, one), x, y), `node "n" computes "y"`},
		"two inputs":          {model(relu, x, x, y), `two inputs are named "x"`},
		"two initializers":    {model(relu, initializer("w", tensor.Float32, []int64{1}, one), initializer("w", tensor.Float32, []int64{1}, one), x, y), `two initializers are named "w"`},
		"unnamed initializer": {model(relu, initializer("", tensor.Float32, []int64{1}, one), x, y), "initializer 0"},
		"bad initializer":     {model(node("Add", "n", names("x", "w"), names("y")), initializer("w", tensor.Float32, []int64{2}, one), x, y), `initializer "w"`},
		"attribute twice":     {model(node("Relu", "n", names("x"), names("y"), Msg(Bytes(1, "a"), Int(3, 1), Int(20, 2)), Msg(Bytes(1, "a"), Int(3, 1), Int(20, 2))), x, y), `attribute "a"`},
		"untyped attribute":   {model(node("Relu", "n", names("x"), names("y"), Bytes(1, "a")), x, y), `attribute "a"`},
		"no tensor":           {model(node("Constant", "n", nil, names("y"), Msg(Bytes(1, "value"), Int(20, 4))), y), `attribute "value"`},
		"type of input":       {model(relu, input("x", 99, 1), y), `input "x"`},
	} {
		g, err := Load(c.data)
		if g != nil || !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "onnximport: ") {
			t.Errorf("%s: got %v, want ErrFormat with %q", name, err, c.want)
		}
	}
}

func TestUnsupportedIsNamed(t *testing.T) {
	x, y := input("x", tensor.Float32, 1), output("y")
	attr := func(field, kind int) []byte { return Msg(Bytes(1, "a"), Sub(field), Int(20, int64(kind))) }
	withDomain := Sub(1, Bytes(1, "x"), Bytes(2, "y"), Bytes(3, "n"), Bytes(4, "Relu"), Bytes(7, "com.example"))
	for name, c := range map[string]struct {
		data []byte
		want []string
	}{
		"operator":         {model(node("Frobnicate", "n", names("x"), names("y")), x, y), []string{`node "n"`, "Frobnicate", "ai.onnx", "13"}},
		"domain":           {Msg(model(withDomain, x, y), Sub(8, Bytes(1, "com.example"), Int(2, 3))), []string{`node "n"`, "Relu", "com.example", "3"}},
		"old opset":        {Msg(Int(1, 3), Sub(7, node("Relu", "n", names("x"), names("y")), x, y), Sub(8, Int(2, 1))), []string{`node "n"`, "Relu", "opset 1"}},
		"sparse tensors":   {model(node("Relu", "n", names("x"), names("y"), attr(23, 12)), x, y), []string{`node "n"`, `attribute "a"`, "SPARSE_TENSORS"}},
		"attribute":        {model(node("Relu", "n", names("x"), names("y"), Msg(Bytes(1, "odd"), Int(3, 1), Int(20, 2))), x, y), []string{`node "n"`, `"odd"`}},
		"graph attribute":  {model(node("Relu", "n", names("x"), names("y"), attr(6, 5)), x, y), []string{`node "n"`, `attribute "a"`, "Relu"}},
		"graphs attribute": {model(node("Relu", "n", names("x"), names("y"), attr(11, 10)), x, y), []string{`node "n"`, `attribute "a"`, "GRAPHS"}},
		"string constant":  {model(node("Add", "n", names("x", "w"), names("y")), initializer("w", 8, []int64{1}, Bytes(6, "text")), x, y), []string{`node "n"`, "input 1"}},
	} {
		g, err := Load(c.data)
		if g != nil || !errors.Is(err, ops.ErrUnsupported) {
			t.Errorf("%s: got %v, want ops.ErrUnsupported", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, want it to name %s", name, err, want)
			}
		}
	}
}

func TestTheHighestOpsetOfADomainCounts(t *testing.T) {
	data := Msg(model(node("Relu", "n", names("x"), names("y")), input("x", tensor.Float32, 1), output("y")),
		Sub(8, Bytes(1, "ai.onnx"), Int(2, 14)), Sub(8, Bytes(1, "ai.onnx"), Int(2, 9)))
	if v := mustLoad(t, data).Nodes[0].Spec.Version; v != 14 {
		t.Errorf("got opset %d, want 14", v)
	}
}

func TestTruncatedModelIsAnError(t *testing.T) {
	data := small()
	for n := range data {
		if g, err := Load(data[:n]); g != nil || !errors.Is(err, ErrFormat) {
			t.Errorf("the first %d of %d bytes: got %v, %v, want ErrFormat", n, len(data), g, err)
		}
	}
}

func TestAbsurdSizesAreRefused(t *testing.T) {
	x, y := input("x", tensor.Float32, 1), output("y")
	column, row := initializer("a", tensor.Float32, []int64{1 << 10, 1}, Bytes(9, make([]byte, 4<<10))), initializer("b", tensor.Float32, []int64{1, 1 << 10}, Bytes(9, make([]byte, 4<<10)))
	grow := func(n int) []byte { // n values of 4 MiB, computed from 8 KiB
		var f []byte
		for i := range n {
			f = append(f, node("Add", fmt.Sprint("n", i), names("a", "b"), names(fmt.Sprint("v", i)))...)
		}
		return Msg(f, column, row, output("v0"))
	}
	for name, c := range map[string]struct {
		data   []byte
		limits Limits
		want   string // empty: it is accepted
	}{
		"terabyte input":         {model(node("Relu", "n", names("x"), names("y")), input("x", tensor.Float32, 1<<20, 1<<18), y), Limits{}, `input "x"`},
		"terabyte constant":      {model(node("Add", "n", names("x", "w"), names("y")), initializer("w", tensor.Float32, []int64{1 << 38}, Bytes(9, "1234")), x, y), Limits{}, `initializer "w"`},
		"terabyte by broadcast":  {model(node("Add", "n", names("p", "q"), names("y")), input("p", tensor.Float32, 1<<19, 1), input("q", tensor.Float32, 1, 1<<19), y), Limits{}, `node "n"`},
		"value at the limit":     {model(grow(1)), Limits{Value: 4 << 20}, ""},
		"value over the limit":   {model(grow(1)), Limits{Value: 4<<20 - 1}, `node "n0"`},
		"folded at the limit":    {model(grow(3)), Limits{Constants: 12 << 20}, ""},
		"folded over the limit":  {model(grow(4)), Limits{Constants: 12 << 20}, `node "n3"`},
		"name over the limit":    {small(), Limits{Name: 3}, "at most 3"},
		"nesting over the limit": {small(), Limits{Depth: 2}, "nested"},
	} {
		m, err := Parse(c.data, Options{Limits: c.limits})
		if err == nil {
			_, err = m.Graph(nil)
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// Forgotten constants, mapped or not, at the beginning, in the middle and at the
// end of pages, are what they were when they are read again.
func TestForgottenConstantsAreReadAgain(t *testing.T) {
	const n = 10_000
	values := func(first float32) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = first + float32(i)
		}
		return v
	}
	raw := tensor.Of(values(3), n)
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(path, model(node("Sum", "n", names("x", "a", "b", "c"), names("y")),
		initializer("a", tensor.Float32, []int64{n}, Bytes(9, raw.Raw)),
		initializer("b", tensor.Float32, []int64{n}, Floats(4, values(5)...)),
		initializer("c", tensor.Float32, []int64{n}, Bytes(9, tensor.Of(values(7), n).Raw)),
		input("x", tensor.Float32, n), output("y")), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, first := range map[string]float32{"a": 3, "b": 5, "c": 7} {
		c, err := m.tensor(m.initializers[name])
		if err != nil {
			t.Fatal(err)
		}
		m.forget(c)
		if got := c.F32(); !slices.Equal(got, values(first)) {
			t.Errorf("%s: got %v... after it was forgotten, want %v...", name, got[:3], first)
		}
	}
	c, err := m.tensor(m.initializers["a"])
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m.forget(c) // does nothing: it is gone
}

func TestMovedConstantsAreLimited(t *testing.T) {
	data := model(node("Add", "n", names("x", "w"), names("y")), initializer("w", tensor.Float32, []int64{1 << 10}, Floats(4, make([]float32, 1<<10)...)),
		input("x", tensor.Float32, 1), output("y"))
	for limit, ok := range map[int]bool{4 << 10: true, 4<<10 - 1: false} {
		m, err := Parse(data, Options{Limits: Limits{Constants: limit}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second graph shares the first one's constant
			if _, err := m.Graph(nil); (err == nil) != ok {
				t.Errorf("limit %d: got %v, want ok = %v", limit, err, ok)
			}
		}
	}
}

func TestGraphsOfAModelShareConstants(t *testing.T) {
	m := mustParse(t, small())
	var graphs [4]*graph.Graph
	var wait sync.WaitGroup
	for i := range graphs {
		wait.Go(func() {
			g, err := m.Graph(map[string]tensor.Shape{"x": {i + 1, 3}})
			if err != nil {
				t.Error(err)
			}
			graphs[i] = g
		})
	}
	wait.Wait()
	for i, g := range graphs {
		if g.Nodes[0].In[1].Const != graphs[0].Nodes[0].In[1].Const || g.Inputs[0].Shape[0] != i+1 {
			t.Errorf("graph %d has input %v and a constant of its own", i, g.Inputs[0].Shape)
		}
	}
}

func TestOpenGivesWhatParseGives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(path, small(), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Digest() != sha256.Sum256(small()) {
		t.Error("the digest is not the SHA-256 of the file")
	}
	g, err := m.Graph(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := mustLoad(t, small())
	sameGraph(t, g, want)
	if err := errors.Join(m.Close(), m.Close()); err != nil {
		t.Error(err)
	}
	if m.Name() != "small" || g.Nodes[0].Name != "sum" || g.Nodes[0].In[1].Name != "w" {
		t.Error("names are gone after Close")
	}
	if _, err := m.Graph(nil); err == nil {
		t.Error("a closed model gave a graph, want an error")
	}
	g, err = LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sameGraph(t, g, want)
	for _, bad := range []string{filepath.Dir(path), filepath.Join(filepath.Dir(path), "none"), os.DevNull} {
		if _, err := Open(bad, Options{}); err == nil {
			t.Errorf("%s was opened as a model", bad)
		}
	}
	empty := filepath.Join(filepath.Dir(path), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(empty, Options{}); !errors.Is(err, ErrFormat) {
		t.Errorf("an empty file: got %v, want ErrFormat", err)
	}
}

// manifest is the part of the shared models' MANIFEST.json that is checked here.
type manifest struct {
	Models []struct {
		Name   string
		Opset  map[string]int
		SHA256 string
		Inputs []struct {
			Name, DType string
			Shape       []any
		}
		Tests []struct {
			Set          int
			InputShapes  []tensor.Shape `json:"input_shapes"`
			OutputShapes []tensor.Shape `json:"output_shapes"`
		}
	}
}

func TestSharedModels(t *testing.T) {
	dir := shared(t)
	text, err := os.ReadFile(filepath.Join(dir, "MANIFEST.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list manifest
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	// Those that need nothing but the first tier of operators.
	must := names("squeezenet_fp32", "mnist_8", "mobilenet_v2_050_128", "super_resolution_10", "yamnet_256")
	for _, want := range list.Models {
		t.Run(want.Name, func(t *testing.T) {
			m, err := Open(filepath.Join(dir, want.Name, "model.onnx"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			for domain, v := range want.Opset {
				if m.Opsets()[domain] != v {
					t.Errorf("got opset %d of domain %q, want %d", m.Opsets()[domain], domain, v)
				}
			}
			if got := fmt.Sprintf("%x", m.Digest()); got != want.SHA256 {
				t.Errorf("got digest %s, want %s", got, want.SHA256)
			}
			if len(m.Inputs()) != len(want.Inputs) {
				t.Fatalf("got inputs %v, want %v", m.Inputs(), want.Inputs)
			}
			for i, in := range m.Inputs() {
				if w := want.Inputs[i]; in.Name != w.Name || in.DType.String() != w.DType || len(in.Dims) != len(w.Shape) {
					t.Errorf("got input %v, want %v", in, w)
				}
			}
			for _, set := range want.Tests {
				shapes := map[string]tensor.Shape{}
				for i, s := range set.InputShapes {
					b, err := os.ReadFile(filepath.Join(dir, want.Name, fmt.Sprintf("test_data_set_%d", set.Set), fmt.Sprintf("input_%d.pb", i)))
					if err != nil {
						t.Fatal(err)
					}
					x, name, err := ReadTensor(b, 1<<28)
					if err != nil || !x.Shape.Equal(s) || name != want.Inputs[i].Name {
						t.Errorf("got test input %v %q, %v, want shape %v of %q", x.Type, name, err, s, want.Inputs[i].Name)
					}
					shapes[name] = s
				}
				g, err := m.Graph(shapes)
				if errors.Is(err, ops.ErrUnsupported) && !slices.Contains(must, want.Name) {
					t.Skip(err)
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := g.Check(); err != nil {
					t.Error(err)
				}
				for i, s := range set.OutputShapes {
					if v := g.Outputs[i]; !v.Shape.Equal(s) {
						t.Errorf("output %q has shape %v, want %v", v.Name, v.Shape, s)
					}
				}
				checkNodes(t, m, g)
				var b bytes.Buffer
				if err := Save(&b, g); err != nil {
					t.Fatal(err)
				}
				sameGraph(t, mustLoad(t, b.Bytes()), g)
			}
		})
	}
}

// checkNodes verifies that the graph's nodes are the file's, but for those that
// depend on constants and shapes alone.
func checkNodes(t *testing.T, m *Model, g *graph.Graph) {
	t.Helper()
	constant := map[string]bool{"": true}
	constants := map[string]bool{}
	for name := range m.initializers {
		constant[name] = true
	}
	var want []string
	for i, n := range m.proto.Graph.Node {
		fold := n.OpType == "Shape"
		if !fold {
			fold = !slices.ContainsFunc(n.Input, func(s string) bool { return !constant[s] })
		}
		if !fold {
			want = append(want, m.names[i])
			for _, s := range n.Input {
				if s != "" && constant[s] {
					constants[s] = true
				}
			}
			continue
		}
		for _, s := range n.Output {
			constant[s] = true
		}
	}
	var got []string
	have := map[string]bool{}
	for _, n := range g.Nodes {
		got = append(got, n.Name)
		for _, v := range n.In {
			if v != nil && v.Const != nil {
				have[v.Name] = true
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d nodes %v, want %d %v", len(got), got, len(want), want)
	}
	if len(have) != len(constants) {
		t.Errorf("got %d constants, want %d", len(have), len(constants))
	}
}
