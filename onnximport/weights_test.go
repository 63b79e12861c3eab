package onnximport

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"scission/engine/tensor"
	. "scission/onnximport/internal/pbtest"
)

// wide is the length of a vector of float32 that counts as a weight.
const wide = MinWeight / 4

// weight is the bytes of a vector that is v everywhere.
func weight(v float32) []byte {
	x := tensor.New(tensor.Float32, wide)
	for i := range x.F32() {
		x.F32()[i] = v
	}
	return x.Raw
}

// raw is the field raw_data.
func raw(b []byte) []byte { return Bytes(9, b) }

// manyWeights is a model whose weights reach its layers in every way that there is;
// weight k is the number k everywhere. Expected are the weights of each layer.
func manyWeights() (data []byte, layers []string, uses [][]float32) {
	vector := []int64{wide}
	weightTensor := func(name string, v float32) []byte { return tensorOf(name, tensor.Float32, vector, raw(weight(v))) }
	initial := func(name string, v float32) []byte { return Bytes(5, weightTensor(name, v)) }
	attr := func(name string, t []byte) []byte { return Msg(Bytes(1, name), Bytes(5, t), Int(20, 4)) }
	branch := func(fields ...[]byte) [][]byte { return append(fields, Sub(12, Bytes(1, "r"))) }
	floats := make([]float32, wide)
	for i := range floats {
		floats[i] = 8
	}
	indices := make([]int64, wide)
	for i := range indices {
		indices[i] = int64(i)
	}
	const domain = "com.example"
	function := Sub(25, Bytes(1, "AddNine"), Bytes(4, "a"), Bytes(5, "b"),
		replaceField(node("Constant", "", nil, names("k"), attr("value", weightTensor("", 9))), 7),
		replaceField(node("Add", "nine", names("a", "k"), names("b")), 7), Sub(9, Int(2, 13)), Bytes(10, domain))
	graph := Msg(Bytes(2, "weights"),
		node("Add", "own", names("x", "w1"), names("a")),
		node("Add", "", names("w2", "w3"), names("folded")), node("Neg", "", names("folded"), names("again")),
		node("Mul", "computed", names("a", "again"), names("b")),
		node("Constant", "", nil, names("c4"), attr("value", weightTensor("", 4))),
		node("Mul", "constant", names("b", "c4"), names("c")),
		node("If", "branches", names("if"), names("d"),
			body("then_branch", branch(node("Add", "", names("c", "w5"), names("t")), node("Add", "", names("t", "w1"), names("r")))...),
			body("else_branch", branch(initial("w6", 6), node("Constant", "", nil, names("c7"), attr("value", weightTensor("", 7))),
				node("Add", "", names("w6", "c7"), names("s")), node("Sub", "", names("c", "s"), names("r")))...)),
		node("Add", "typed", names("c", "w8"), names("e")),
		Sub(1, fieldsOf(node("AddNine", "", names("e"), names("f"))), Bytes(7, domain)),
		node("Relu", "none", names("f"), names("g")),
		node("Add", "again", names("g", "w1"), names("h")),
		node("Add", "sparse", names("h", "w10"), names("y")),
		initial("w1", 1), initial("w2", 2), initial("w3", 3), initial("w5", 5), initializer("w8", tensor.Float32, vector, Floats(4, floats...)),
		initial("w11", 11), initial("w12", 12),
		Sub(15, Bytes(1, weightTensor("w10", 10)), Bytes(2, tensorOf("", tensor.Int64, vector, Ints(7, indices...))), Ints(3, wide)),
		input("x", tensor.Float32, wide), input("if", tensor.Bool), output("y"), output("d"), output("w11"))
	data = Msg(Int(1, 8), Bytes(7, graph), Sub(8, Int(2, 13)), Sub(8, Bytes(1, domain), Int(2, 1)), function)
	return data, []string{"own", "computed", "constant", "branches", "typed", "AddNine_1/nine", "none", "again", "sparse"},
		[][]float32{{1}, {2, 3}, {4}, {1, 5, 6, 7}, {8}, {9}, nil, {1}, {10, 11}} // the last layer answers for constant outputs
}

func TestUsesNameTheWeightsThatLayersAreComputedFrom(t *testing.T) {
	data, layers, want := manyWeights()
	m := mustParse(t, data)
	g, uses, err := m.GraphUses(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Nodes) != len(layers) {
		t.Fatalf("got %d layers, want %v", len(g.Nodes), layers)
	}
	f := m.File()
	number := func(r Range) float32 {
		v := tensor.Cast[float32](bytes.Clone(data[r.Offset:][:r.Length]))
		if r.Length != MinWeight || slices.ContainsFunc(v, func(x float32) bool { return x != v[0] }) {
			t.Errorf("%v is no weight", r)
		}
		return v[0]
	}
	var all []float32
	for _, r := range f.Weights() {
		all = append(all, number(r))
	}
	slices.Sort(all)
	if got, want := fmt.Sprint(all), "[1 2 3 4 5 6 7 8 9 10 11 12]"; got != want {
		t.Fatalf("the file has weights %s, want %s", got, want)
	}
	for i, n := range g.Nodes {
		if n.Name != layers[i] {
			t.Errorf("layer %d is %q, want %q", i, n.Name, layers[i])
		}
		got := slices.Clone(all)
		for _, r := range uses.Unused(func(layer int) bool { return layer == i }) {
			v := number(r)
			got = slices.DeleteFunc(got, func(x float32) bool { return x == v })
		}
		if !slices.Equal(got, want[i]) {
			t.Errorf("layer %q uses %v, want %v", n.Name, got, want[i])
		}
	}
	if got := uses.Unused(func(int) bool { return true }); len(got) != 1 || number(got[0]) != 12 {
		t.Errorf("of no use at all: got %v, want weight 12", got)
	}
}

// The constants of layers do not change, nor does the graph, when the weights that
// these layers do not use become zeros.
func TestUnusedWeightsChangeNothing(t *testing.T) {
	data, layers, _ := manyWeights()
	whole, uses, err := mustParse(t, data).GraphUses(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range layers {
		part := bytes.Clone(data)
		for _, r := range uses.Unused(func(layer int) bool { return layer == i }) {
			clear(part[r.Offset:][:r.Length])
		}
		g := mustLoad(t, part)
		for k, n := range g.Nodes {
			for j, v := range n.In {
				w := whole.Nodes[k].In[j]
				if v.Name != w.Name || !v.Type.Equal(w.Type) || (v.Const == nil) != (w.Const == nil) {
					t.Errorf("with the weights of %q: input %d of %q is %v, want %v", layers[i], j, n.Name, v, w)
				} else if k == i && v.Const != nil && !v.Const.Identical(w.Const) {
					t.Errorf("with the weights of %q: its input %q has other numbers", layers[i], v.Name)
				}
			}
		}
	}
}

// A file that is made to let the lists grow without end makes every layer use all.
func TestUsesAreBounded(t *testing.T) {
	tr := &tracker{left: 5, uses: Uses{weights: make([]Range, 4), layers: [][]int{nil}}}
	if got := tr.union([]int{3, 1}, nil, []int{1}); !slices.Equal(got, []int{1, 3}) || tr.uses.all {
		t.Errorf("got %v, want 1 and 3", got)
	}
	none := func(int) bool { return false }
	if got := tr.uses.Unused(none); len(got) != 4 {
		t.Errorf("%d weights are unused, want 4", len(got))
	}
	tr.union([]int{0}, []int{1, 2})
	if got := tr.uses.Unused(none); len(got) != 0 {
		t.Errorf("beyond the bound %d weights are unused, want none", len(got))
	}
}

func TestEncodedFileIsWhatSaveWrites(t *testing.T) {
	data, _, _ := manyWeights()
	g := mustLoad(t, data)
	var saved bytes.Buffer
	if err := Save(&saved, g); err != nil {
		t.Fatal(err)
	}
	f, err := Encode(g)
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(io.NewSectionReader(f, 0, f.Size()), saved.Bytes()); err != nil {
		t.Error(err)
	}
	if _, err := f.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("a read before the begin: no error")
	}
	// The importer finds the same weights in the bytes.
	want := mustParse(t, saved.Bytes()).File().Weights()
	if got := f.Weights(); !slices.Equal(got, want) || len(got) < 8 {
		t.Errorf("got weights %v, want %v", got, want)
	}
	g.Nodes[0].Spec = nil
	if _, err := Encode(g); err == nil || !strings.Contains(err.Error(), "no form in a file") {
		t.Errorf("a node without a form: got error %v", err)
	}
}
