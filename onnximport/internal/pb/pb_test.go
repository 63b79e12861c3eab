package pb

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	pt "scission/onnximport/internal/pbtest"
)

// everything is a model with every field of every message, written by hand from
// the field numbers of onnx.proto, and what it must decode to.
func everything() ([]byte, *Model) {
	tensor := pt.Msg(pt.Int(1, 2), pt.Int(1, 3), pt.Int(2, 1), pt.Bytes(8, "w"), pt.Bytes(12, "doc"), pt.Bytes(9, "123456781234567812345678"))
	wantTensor := Tensor{Dims: []int64{2, 3}, DataType: Float, Name: "w", RawData: []byte("123456781234567812345678")}
	external := pt.Msg(pt.Ints(1, 4), pt.Int(2, 7), pt.Bytes(8, "x"), pt.Int(14, 1), pt.Sub(13, pt.Bytes(1, "location"), pt.Bytes(2, "f.bin")))
	wantExternal := Tensor{Dims: []int64{4}, DataType: Int64, Name: "x", DataLocation: External, ExternalData: []Entry{{"location", "f.bin"}}}
	sparse := pt.Msg(pt.Bytes(1, tensor), pt.Bytes(2, external), pt.Ints(3, 10, 20))
	wantSparse := SparseTensor{Values: &wantTensor, Indices: &wantExternal, Dims: []int64{10, 20}}
	typ := pt.Msg(pt.Sub(1, pt.Int(1, 1), pt.Sub(2, pt.Sub(1, pt.Int(1, 0)), pt.Sub(1, pt.Bytes(2, "N")), pt.Sub(1), pt.Sub(1, pt.Int(1, -1)))), pt.Bytes(6, "denotation"))
	wantType := Type{Tensor: &TensorType{Float, &Shape{[]Dim{{HasValue: true}, {Param: "N"}, {}, {Value: -1, HasValue: true}}}}}
	types := [][]byte{typ, pt.Sub(4, pt.Bytes(1, typ)), pt.Sub(5, pt.Int(1, 7), pt.Bytes(2, typ)), pt.Sub(7, pt.Bytes(1, "d"), pt.Bytes(2, "n")),
		pt.Sub(8, pt.Int(1, 11)), pt.Sub(9, pt.Bytes(1, typ))}
	wantTypes := []Type{wantType, {Sequence: &ElemType{&wantType}}, {Map: &MapType{Int64, &wantType}}, {Opaque: &OpaqueType{"d", "n"}},
		{SparseTensor: &TensorType{Double, nil}}, {Optional: &ElemType{&wantType}}}
	sub := pt.Msg(pt.Sub(1, pt.Bytes(4, "Relu")), pt.Bytes(2, "sub"))
	wantSub := Graph{Node: []Node{{OpType: "Relu"}}, Name: "sub"}

	attrs := []byte{}
	for _, a := range [][]byte{
		pt.Msg(pt.Bytes(1, "f"), pt.Float(2, 0), pt.Int(20, 1)),
		pt.Msg(pt.Bytes(1, "i"), pt.Int(3, -5), pt.Int(20, 2), pt.Bytes(13, "doc")),
		pt.Msg(pt.Bytes(1, "s"), pt.Bytes(4, "text"), pt.Int(20, 3)),
		pt.Msg(pt.Bytes(1, "t"), pt.Bytes(5, tensor), pt.Int(20, 4)),
		pt.Msg(pt.Bytes(1, "g"), pt.Bytes(6, sub), pt.Int(20, 5)),
		pt.Msg(pt.Bytes(1, "floats"), pt.Floats(7, 1, 2), pt.Float(7, 3), pt.Int(20, 6)),
		pt.Msg(pt.Bytes(1, "ints"), pt.Int(8, 1), pt.Ints(8, -2, 300), pt.Int(8, 4), pt.Int(20, 7)),
		pt.Msg(pt.Bytes(1, "strings"), pt.Bytes(9, "a"), pt.Bytes(9, ""), pt.Int(20, 8)),
		pt.Msg(pt.Bytes(1, "tensors"), pt.Bytes(10, tensor), pt.Bytes(10, external), pt.Int(20, 9)),
		pt.Msg(pt.Bytes(1, "graphs"), pt.Bytes(11, sub), pt.Int(20, 10)),
		pt.Msg(pt.Bytes(1, "sparse"), pt.Bytes(22, sparse), pt.Int(20, 11)),
		pt.Msg(pt.Bytes(1, "sparses"), pt.Bytes(23, sparse), pt.Int(20, 12)),
		pt.Msg(pt.Bytes(1, "tp"), pt.Bytes(14, typ), pt.Int(20, 13)),
		pt.Msg(pt.Bytes(1, "tps"), pt.Bytes(15, types[0]), pt.Bytes(15, types[1]), pt.Bytes(15, types[2]), pt.Bytes(15, types[3]),
			pt.Bytes(15, types[4]), pt.Bytes(15, types[5]), pt.Int(20, 14)),
		pt.Msg(pt.Bytes(1, "ref"), pt.Bytes(21, "outer"), pt.Int(20, 2)),
	} {
		attrs = append(attrs, pt.Bytes(5, a)...)
	}
	wantAttrs := []Attribute{
		{Name: "f", Type: AttrFloat}, {Name: "i", I: -5, Type: AttrInt}, {Name: "s", S: "text", Type: AttrString},
		{Name: "t", T: &wantTensor, Type: AttrTensor}, {Name: "g", G: &wantSub, Type: AttrGraph},
		{Name: "floats", Floats: []float32{1, 2, 3}, Type: AttrFloats}, {Name: "ints", Ints: []int64{1, -2, 300, 4}, Type: AttrInts},
		{Name: "strings", Strings: []string{"a", ""}, Type: AttrStrings},
		{Name: "tensors", Tensors: []Tensor{wantTensor, wantExternal}, Type: AttrTensors},
		{Name: "graphs", Graphs: []Graph{wantSub}, Type: AttrGraphs},
		{Name: "sparse", SparseTensor: &wantSparse, Type: AttrSparseTensor},
		{Name: "sparses", SparseTensors: []SparseTensor{wantSparse}, Type: AttrSparseTensors},
		{Name: "tp", TP: &wantType, Type: AttrType}, {Name: "tps", TypeProtos: wantTypes, Type: AttrTypes},
		{Name: "ref", RefAttrName: "outer", Type: AttrInt},
	}
	node := pt.Msg(pt.Bytes(1, "a"), pt.Bytes(1, ""), pt.Bytes(2, "b"), pt.Bytes(3, "name"), pt.Bytes(4, "Op"), attrs, pt.Bytes(6, "doc"), pt.Bytes(7, "dom"), pt.Bytes(8, "over"))
	wantNode := Node{Input: []string{"a", ""}, Output: []string{"b"}, Name: "name", OpType: "Op", Attribute: wantAttrs, Domain: "dom", Overload: "over"}
	graph := pt.Msg(pt.Bytes(1, node), pt.Bytes(2, "main"), pt.Bytes(5, tensor), pt.Bytes(5, external), pt.Bytes(10, "doc"),
		pt.Sub(11, pt.Bytes(1, "a"), pt.Bytes(2, typ), pt.Bytes(3, "doc")), pt.Sub(12, pt.Bytes(1, "b")), pt.Sub(13, pt.Bytes(1, "inner")), pt.Bytes(15, sparse))
	wantGraph := Graph{Node: []Node{wantNode}, Name: "main", Initializer: []Tensor{wantTensor, wantExternal},
		Input: []ValueInfo{{"a", &wantType}}, Output: []ValueInfo{{Name: "b"}}, SparseInitializer: []SparseTensor{wantSparse}}
	function := pt.Msg(pt.Bytes(1, "F"), pt.Bytes(4, "x"), pt.Bytes(5, "y"), pt.Bytes(6, "alpha"), pt.Bytes(7, node), pt.Bytes(8, "doc"),
		pt.Sub(9, pt.Int(2, 13)), pt.Bytes(10, "dom"), pt.Sub(11, pt.Bytes(1, "i"), pt.Int(3, 0), pt.Int(20, 2)), pt.Bytes(13, "over"))
	wantFunction := Function{Name: "F", Input: []string{"x"}, Output: []string{"y"}, Attribute: []string{"alpha"}, Node: []Node{wantNode},
		OpsetImport: []OperatorSet{{Version: 13}}, Domain: "dom", AttributeProto: []Attribute{{Name: "i", Type: AttrInt}}, Overload: "over"}
	return pt.Msg(pt.Int(1, 8), pt.Bytes(2, "pen"), pt.Bytes(3, "1.0"), pt.Bytes(4, "dom"), pt.Int(5, 3), pt.Bytes(6, "doc"), pt.Bytes(7, graph),
			pt.Sub(8, pt.Bytes(1, ""), pt.Int(2, 17)), pt.Sub(8, pt.Bytes(1, "dom"), pt.Int(2, 1)), pt.Sub(14, pt.Bytes(1, "k"), pt.Bytes(2, "v")), pt.Bytes(25, function),
			pt.Sub(20, pt.Bytes(1, graph)), pt.Float(99, 1), pt.Double(98, 1)),
		&Model{IRVersion: 8, ProducerName: "pen", ProducerVersion: "1.0", Domain: "dom", ModelVersion: 3, Graph: &wantGraph,
			OpsetImport: []OperatorSet{{"", 17}, {"dom", 1}}, Metadata: []Entry{{"k", "v"}}, Functions: []Function{wantFunction}}
}

// dump shows a model in an error message.
func dump(m any) string {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestDecodeReadsEveryField(t *testing.T) {
	b, want := everything()
	var got Model
	if err := Decode(b, &got, Limits{}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("got %s\nwant %s", dump(got), dump(want))
	}
}

func TestDecodeOfEncodeIsIdentity(t *testing.T) {
	_, want := everything()
	want.Graph.Initializer[0].RawData = bytes.Repeat([]byte("0123456789abcdef"), keep) // too long to be copied
	var b bytes.Buffer
	if err := Encode(&b, want); err != nil {
		t.Fatal(err)
	}
	var got Model
	if err := Decode(b.Bytes(), &got, Limits{}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("got %s\nwant %s", dump(got), dump(want))
	}
}

// The C++ checker of the ONNX project demands that the field named by an
// attribute's type is present, zero or not.
func TestEncodeWritesZerosThatAreValues(t *testing.T) {
	for _, c := range []struct {
		m    message
		want []byte
	}{
		{&Attribute{Name: "i", Type: AttrInt}, pt.Msg(pt.Bytes(1, "i"), pt.Int(3, 0), pt.Int(20, 2))},
		{&Attribute{Name: "f", Type: AttrFloat}, pt.Msg(pt.Bytes(1, "f"), pt.Float(2, 0), pt.Int(20, 1))},
		{&Attribute{Name: "s", Type: AttrString}, pt.Msg(pt.Bytes(1, "s"), pt.Bytes(4, ""), pt.Int(20, 3))},
		{&Tensor{DataType: Float, Dims: []int64{0}, RawData: []byte{}}, pt.Msg(pt.Int(1, 0), pt.Int(2, 1), pt.Bytes(9, ""))},
		{&Dim{HasValue: true}, pt.Int(1, 0)},
		{&Dim{}, nil},
	} {
		var b bytes.Buffer
		if err := Encode(&b, c.m); err != nil || !bytes.Equal(b.Bytes(), c.want) {
			t.Errorf("%T: got %x, %v, want %x", c.m, b.Bytes(), err, c.want)
		}
	}
}

func TestDecodeCopiesNoData(t *testing.T) {
	b := pt.Msg(pt.Bytes(8, "name"), pt.Bytes(9, "data"))
	var x Tensor
	if err := Decode(b, &x, Limits{}); err != nil {
		t.Fatal(err)
	}
	copy(b, pt.Msg(pt.Bytes(8, "NAME"), pt.Bytes(9, "DATA")))
	if x.Name != "NAME" || string(x.RawData) != "DATA" {
		t.Errorf("got %q and %q, want the changed bytes NAME and DATA", x.Name, x.RawData)
	}
}

func TestTypedDataReadsPackedAndUnpacked(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields [][]byte
		want   []uint64
	}{
		{"packed floats", [][]byte{pt.Floats(4, 1, 2)}, []uint64{0x3f800000, 0x40000000}},
		{"unpacked floats", [][]byte{pt.Float(4, 1), pt.Float(4, 2)}, []uint64{0x3f800000, 0x40000000}},
		{"both", [][]byte{pt.Float(4, 1), pt.Floats(4, 2)}, []uint64{0x3f800000, 0x40000000}},
		{"packed int32", [][]byte{pt.Ints(5, 1, -1, 300)}, []uint64{1, math.MaxUint64, 300}},
		{"unpacked int64", [][]byte{pt.Int(7, 1), pt.Int(7, math.MinInt64)}, []uint64{1, 1 << 63}},
		{"doubles", [][]byte{pt.Doubles(10, 1), pt.Double(10, 2)}, []uint64{0x3ff0000000000000, 0x4000000000000000}},
		{"uint64", [][]byte{pt.Ints(11, -1)}, []uint64{math.MaxUint64}},
		{"empty", [][]byte{pt.Ints(11)}, nil},
	} {
		var x Tensor
		if err := Decode(pt.Msg(pt.Int(2, 1), pt.Msg(c.fields...), pt.Bytes(8, "name")), &x, Limits{}); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []uint64
		for v, err := range x.Typed.Bits() {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			got = append(got, v)
		}
		n, err := x.Typed.Len()
		if err != nil || n != len(c.want) || !reflect.DeepEqual(got, c.want) || x.Typed.Absent() {
			t.Errorf("%s: got %x, length %d, %v, want %x", c.name, got, n, err, c.want)
		}
		var b bytes.Buffer
		var again Tensor
		if err := Encode(&b, &x); err != nil {
			t.Fatal(err)
		}
		if err := Decode(b.Bytes(), &again, Limits{}); err != nil || !reflect.DeepEqual(x, again) {
			t.Errorf("%s: written and read again: %+v, %v, want %+v", c.name, again, err, x)
		}
	}
}

// nested returns graphs within graphs, n deep.
func nested(n int) []byte {
	g := pt.Bytes(2, "inner")
	for range n {
		g = pt.Sub(1, pt.Sub(5, pt.Bytes(6, g)))
	}
	return g
}

func TestDecodeRefuses(t *testing.T) {
	long := strings.Repeat("x", DefaultName)
	for name, c := range map[string]struct {
		b  []byte
		m  message
		ok bool
	}{
		"truncated varint":        {[]byte{0x08, 0x80}, &Model{}, false},
		"length beyond the end":   {[]byte{0x12, 5, 'x'}, &Model{}, false},
		"field number 0":          {[]byte{0x00, 1}, &Model{}, false},
		"wrong wire type":         {pt.Int(2, 1), &Model{}, false},
		"wrong wire type of list": {pt.Double(8, 1), &Attribute{}, false},
		"end group":               {[]byte{0x0c}, &Model{}, false},
		"unknown field":           {pt.Int(1000, 1), &Model{}, true},
		"unknown group":           {[]byte{0x83, 0x7d, 0x84, 0x7d}, &Model{}, true},
		"graph twice":             {pt.Msg(pt.Sub(7), pt.Sub(7)), &Model{}, false},
		"longest name":            {pt.Bytes(2, long), &Model{}, true},
		"longer name":             {pt.Bytes(2, long+"x"), &Model{}, false},
		"longer name in a list":   {pt.Bytes(1, long+"x"), &Node{}, false},
		"long attribute":          {pt.Bytes(4, long+"x"), &Attribute{}, true},
		"ragged floats":           {pt.Bytes(7, "12345"), &Attribute{}, false},
		"ragged ints":             {pt.Bytes(8, "\x01\x80"), &Attribute{}, false},
		"ints beyond 64 bits":     {pt.Bytes(8, strings.Repeat("\xff", 10)+"\x01"), &Attribute{}, false},
		"deepest nesting":         {nested((DefaultDepth - 1) / 3), &Graph{}, true},
		"deeper nesting":          {nested(DefaultDepth/3 + 1), &Graph{}, false},
		"data in two fields":      {pt.Msg(pt.Ints(5, 1), pt.Ints(7, 1)), &Tensor{}, false},
		"data apart":              {pt.Msg(pt.Ints(5, 1), pt.Int(2, 1), pt.Ints(5, 1)), &Tensor{}, false},
	} {
		err := Decode(c.b, c.m, Limits{})
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrWire) {
			t.Errorf("%s: got %v, want ok = %v", name, err, c.ok)
		}
	}
	for name, b := range map[string][]byte{
		"ragged floats": pt.Bytes(4, "12345"), "ragged doubles": pt.Bytes(10, "1234"), "half a varint": pt.Bytes(5, "\x01\x80"),
	} {
		var x Tensor
		if err := Decode(b, &x, Limits{}); err != nil {
			t.Fatal(err)
		}
		_, err := x.Typed.Len()
		for _, e := range x.Typed.Bits() {
			err = errors.Join(err, e)
		}
		if !errors.Is(err, ErrWire) {
			t.Errorf("%s: got %v, want ErrWire", name, err)
		}
	}
}

// What is at a limit passes, and one more does not.
func TestLimitsAreSharp(t *testing.T) {
	const n = 3
	list := func(field int, m []byte) (b []byte) {
		for range n {
			b = append(b, pt.Bytes(field, string(m))...)
		}
		return b
	}
	node := pt.Sub(5, pt.Bytes(1, "abc")) // with one attribute
	for name, c := range map[string]struct {
		b         []byte
		m         func() message
		at, below Limits
	}{
		"nodes":      {list(1, node), func() message { return &Graph{} }, Limits{Nodes: n}, Limits{Nodes: n - 1}},
		"attributes": {list(1, node), func() message { return &Graph{} }, Limits{Attributes: n}, Limits{Attributes: n - 1}},
		"tensors":    {list(5, nil), func() message { return &Graph{} }, Limits{Tensors: n}, Limits{Tensors: n - 1}},
		"name":       {list(1, node), func() message { return &Graph{} }, Limits{Name: 3}, Limits{Name: 2}},
		"depth":      {list(1, node), func() message { return &Graph{} }, Limits{Depth: 3}, Limits{Depth: 2}},
	} {
		if err := Decode(c.b, c.m(), c.at); err != nil {
			t.Errorf("%s at the limit: %v", name, err)
		}
		if err := Decode(c.b, c.m(), c.below); !errors.Is(err, ErrWire) {
			t.Errorf("%s past the limit: error %v, want ErrWire", name, err)
		}
	}
}

func TestMemoryIsProportionalToTheInput(t *testing.T) {
	const n = 1 << 18
	for name, c := range map[string]struct {
		unit []byte
		m    message
	}{
		"empty nodes":          {pt.Sub(1), &Graph{}},
		"empty attributes":     {pt.Sub(5), &Node{}},
		"empty tensors":        {pt.Sub(10), &Attribute{}},
		"empty strings":        {pt.Bytes(1, ""), &Node{}},
		"numbers of one byte":  {pt.Int(8, 1), &Attribute{}},
		"packs of one number":  {pt.Ints(8, 1), &Attribute{}},
		"empty dimensions":     {pt.Sub(1), &Shape{}},
		"empty subgraph chain": {pt.Sub(1, pt.Sub(5, pt.Sub(6, pt.Sub(1, pt.Sub(5, pt.Sub(6)))))), &Graph{}},
	} {
		b := bytes.Repeat(c.unit, n/len(c.unit))
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		err := Decode(b, c.m, Limits{})
		runtime.GC()
		runtime.ReadMemStats(&after)
		live := int64(after.HeapAlloc) - int64(before.HeapAlloc)
		if want := int64(2 * (memoryBase + memoryFactor*len(b))); live > want {
			t.Errorf("%s: %d bytes in, %d bytes held (%v), want at most %d", name, len(b), live, err, want)
		}
		runtime.KeepAlive(c.m)
	}
	packed := pt.Ints(8, make([]int64, n)...)
	var a Attribute
	if err := Decode(packed, &a, Limits{}); err != nil || len(a.Ints) != n || cap(a.Ints) > n+n/4 {
		t.Errorf("%d packed numbers: got %d with room for %d, %v", n, len(a.Ints), cap(a.Ints), err)
	}
}

func TestNamesOfTypes(t *testing.T) {
	if s := Int2.String() + Float8E4M3FN.String() + DataType(99).String() + AttrTypes.String(); s != "INT2FLOAT8E4M3FN99TYPE_PROTOS" {
		t.Errorf("got %s", s)
	}
	if Int2 != 26 || BFloat16 != 16 || Undefined.Known() || !Int2.Known() || DataType(27).Known() || DataType(-1).Known() {
		t.Error("the numbers of the types are not the schema's")
	}
}

func TestGuessFindsTheTypeOfOldFiles(t *testing.T) {
	_, m := everything()
	for _, a := range m.Graph.Node[0].Attribute {
		want := a.Type
		if a.Type = AttrUndefined; a.Name == "f" || a.Name == "ref" || want > AttrGraphs {
			want = AttrUndefined // a zero, or newer than the type field
		}
		if got := a.Guess(); got != want {
			t.Errorf("%s: got %v, want %v", a.Name, got, want)
		}
	}
}

func TestTensorsFindsEveryTensor(t *testing.T) {
	_, m := everything()
	n := 0
	for range m.Tensors() {
		n++
	}
	// In a node: t, 2 tensors, sparse and sparses of 2 each. Two nodes, two
	// initializers, one sparse initializer of 2.
	if want := 2*(1+2+2+2) + 2 + 2; n != want {
		t.Errorf("got %d tensors, want %d", n, want)
	}
	for range m.Tensors() {
		n--
		break
	}
}

// manifest is the part of ../shared/models/MANIFEST.json that is checked here.
type manifest struct {
	Models []struct {
		Name  string
		IR    int64 `json:"ir_version"`
		Opset map[string]int64
		Nodes int
		Ops   map[string]int
	}
}

func TestSharedModelsDecode(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "..", "shared", "models")
	text, err := os.ReadFile(filepath.Join(dir, "MANIFEST.json"))
	if err != nil {
		t.Skipf("no shared models: %v", err)
	}
	var list manifest
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	for _, want := range list.Models {
		b, err := os.ReadFile(filepath.Join(dir, want.Name, "model.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		var m Model
		if err := Decode(b, &m, Limits{}); err != nil {
			t.Errorf("%s: %v", want.Name, err)
			continue
		}
		ops := map[string]int{}
		nodes := 0
		var walk func(g *Graph)
		walk = func(g *Graph) {
			for _, n := range g.Node {
				nodes++
				ops[n.OpType]++
				for _, a := range n.Attribute {
					if a.G != nil {
						walk(a.G)
					}
				}
			}
		}
		walk(m.Graph)
		opsets := map[string]int64{}
		for _, o := range m.OpsetImport {
			opsets[o.Domain] = o.Version
		}
		if m.IRVersion != want.IR || nodes != want.Nodes || !reflect.DeepEqual(ops, want.Ops) || !reflect.DeepEqual(opsets, want.Opset) {
			t.Errorf("%s: got IR %d, opsets %v, %d nodes %v, want IR %d, opsets %v, %d nodes %v",
				want.Name, m.IRVersion, opsets, nodes, ops, want.IR, want.Opset, want.Nodes, want.Ops)
		}
		var again bytes.Buffer
		if err := Encode(&again, &m); err != nil {
			t.Fatal(err)
		}
		var m2 Model
		if err := Decode(again.Bytes(), &m2, Limits{}); err != nil || !reflect.DeepEqual(m, m2) {
			t.Errorf("%s: written and read again it is another model (%v)", want.Name, err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	data := bytes.Repeat(pt.Sub(1, pt.Bytes(1, "in"), pt.Bytes(1, "weight"), pt.Bytes(2, "out"), pt.Bytes(3, "conv1"), pt.Bytes(4, "Conv"),
		pt.Sub(5, pt.Bytes(1, "strides"), pt.Ints(8, 1, 1), pt.Int(20, 7)), pt.Sub(5, pt.Bytes(1, "group"), pt.Int(3, 1), pt.Int(20, 2))), 10000)
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if err := Decode(data, &Graph{}, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
