package onnximport

import (
	"io"
	"slices"
	"sort"
	"unsafe"

	"scission/engine/graph"
	"scission/onnximport/internal/pb"
)

// MinWeight is the size in bytes from which on a tensor counts as a weight: what
// shapes are computed from, and most biases, are smaller.
const MinWeight = 4 << 10

// Range is a range of bytes of a file.
type Range struct{ Offset, Length int64 }

// File is the bytes of an ONNX file, with the places of its weights: the tensors of
// at least MinWeight bytes whose elements lie in the file as they lie in memory, one
// behind the other. What lies between them is needed to build the graph. It is immutable.
type File struct {
	parts   [][]byte
	starts  []int64 // of the parts, and the size
	weights []Range
}

// Encode returns the file that Save writes. Tensors are not copied, so that their
// memory must stay as it is while the File is used.
func Encode(g *graph.Graph) (*File, error) {
	m, err := encode(g)
	if err != nil {
		return nil, saving(g, err)
	}
	parts, err := pb.Parts(m)
	if err != nil {
		return nil, saving(g, err)
	}
	f := newFile(parts)
	data := map[*byte]bool{}
	for t := range m.Tensors() {
		if len(t.RawData) >= MinWeight {
			data[unsafe.SliceData(t.RawData)] = true
		}
	}
	for i, p := range parts {
		if len(p) >= MinWeight && data[unsafe.SliceData(p)] {
			f.weights = append(f.weights, Range{f.starts[i], int64(len(p))})
		}
	}
	return f, nil
}

// File returns the file of the model. It must not be used after Close. If the
// model has external data, the File has not.
func (m *Model) File() *File {
	f := newFile([][]byte{m.data})
	f.weights = m.weights()
	return f
}

func newFile(parts [][]byte) *File {
	f := &File{parts: parts, starts: []int64{0}}
	for _, p := range parts {
		f.starts = append(f.starts, f.Size()+int64(len(p)))
	}
	return f
}

// Size is the number of bytes.
func (f *File) Size() int64 { return f.starts[len(f.starts)-1] }

// Weights lists where the weights are, in the order in which they lie in the file.
func (f *File) Weights() []Range { return f.weights }

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(b []byte, at int64) (n int, err error) {
	if at < 0 || at >= f.Size() {
		return 0, io.EOF
	}
	i := sort.Search(len(f.parts), func(i int) bool { return f.starts[i+1] > at })
	for ; n < len(b) && i < len(f.parts); i++ {
		k := copy(b[n:], f.parts[i][at-f.starts[i]:])
		n, at = n+k, at+int64(k)
	}
	if n < len(b) {
		err = io.EOF
	}
	return n, err
}

// weights lists the weights of the file.
func (m *Model) weights() []Range {
	var list []Range
	for t := range m.proto.Tensors() {
		if r, ok := m.place(t); ok {
			list = append(list, r)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Offset < list[j].Offset })
	return slices.Compact(list) // a function's are listed for each call
}

// place says where in the file the elements of t are if it is a weight.
func (m *Model) place(t *pb.Tensor) (Range, bool) {
	b := t.RawData
	if b == nil {
		b = t.Typed.Packed()
	}
	if len(b) < MinWeight {
		return Range{}, false
	}
	// Only differences within the file's memory are used.
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b))) - uintptr(unsafe.Pointer(unsafe.SliceData(m.data)))
	return Range{int64(at), int64(len(b))}, true
}

// Uses says which weights of its file each layer of a graph is computed from. It is
// immutable.
type Uses struct {
	weights []Range
	layers  [][]int // indices of weights, ascending
	all     bool    // every layer may use every weight
}

// Unused lists the weights that none of the layers for which use is true is computed
// from, in the order in which they lie in the file. As long as the graph is built
// the same, these layers compute the same whatever the bytes there are.
func (u *Uses) Unused(use func(layer int) bool) []Range {
	if u.all {
		return nil
	}
	used := make([]bool, len(u.weights))
	for i, list := range u.layers {
		if use(i) {
			for _, w := range list {
				used[w] = true
			}
		}
	}
	var unused []Range
	for i, w := range u.weights {
		if !used[i] {
			unused = append(unused, w)
		}
	}
	return unused
}

// maxUses bounds the work of a tracker, in entries of its lists. Each stands for a
// weight of MinWeight bytes, so that only a file that is made for it has more.
const maxUses = 1 << 22

// tracker finds out which weights the constants and layers of a graph are computed
// from, while the graph is built. A list of weights is in order, has each once, and
// is not changed.
type tracker struct {
	model   *Model
	index   map[int64]int // of the weight at an offset
	sources map[*graph.Value][]int
	left    int // entries that may still be dealt with
	uses    Uses
}

func newTracker(m *Model) *tracker {
	t := &tracker{model: m, index: map[int64]int{}, sources: map[*graph.Value][]int{}, left: maxUses}
	t.uses.weights = m.weights()
	for i, w := range t.uses.weights {
		t.index[w.Offset] = i
	}
	return t
}

// tensors returns the weights among ts.
func (t *tracker) tensors(ts ...*pb.Tensor) []int {
	var lists [][]int
	for _, p := range ts {
		if p == nil {
			continue
		}
		if r, ok := t.model.place(p); ok {
			lists = append(lists, []int{t.index[r.Offset]})
		}
	}
	return t.union(lists...)
}

// attribute returns the weights in an attribute, without those of its graph.
func (t *tracker) attribute(a *pb.Attribute) []int {
	lists := [][]int{t.tensors(a.T)}
	for i := range a.Tensors {
		lists = append(lists, t.tensors(&a.Tensors[i]))
	}
	if s := a.SparseTensor; s != nil {
		lists = append(lists, t.tensors(s.Values, s.Indices))
	}
	return t.union(lists...)
}

// values returns the weights that the constants among vs are computed from.
func (t *tracker) values(vs []*graph.Value) []int {
	var lists [][]int
	for _, v := range vs {
		lists = append(lists, t.sources[v])
	}
	return t.union(lists...)
}

func (t *tracker) union(lists ...[]int) []int {
	lists = slices.DeleteFunc(lists, func(l []int) bool { return len(l) == 0 })
	switch len(lists) {
	case 0:
		return nil
	case 1:
		return lists[0]
	}
	for _, l := range lists {
		t.left -= len(l)
	}
	if t.left < 0 {
		t.uses.all = true
		clear(t.sources)
		return nil
	}
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

// made notes that the constants among vs are computed from list.
func (t *tracker) made(vs []*graph.Value, list []int) {
	for _, v := range vs {
		if v != nil && v.Const != nil && len(list) > 0 {
			t.sources[v] = list
		}
	}
}
