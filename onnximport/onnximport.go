// Package onnximport reads ONNX files into graphs and writes graphs as ONNX
// files.
//
// Reading has two steps. Parse or Open decodes a file into a Model, checks that
// it is a well-formed graph and finds its external data; Model.Graph builds the
// graph for concrete input shapes, with the operators of package ops. Nothing is
// copied that can stay where it is: tensors lie in the file's bytes, which Open
// maps into memory. Save writes a graph.
//
// The package knows graphs, tensors and operators, but neither the engine that
// runs them nor hosts. Files may come from anyone: whatever they hold, the
// result is a model or an error, and memory stays within Limits.
package onnximport

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/onnximport/internal/pb"
	"scission/ops"
)

// ErrFormat is in every error that says that a file is no valid ONNX model. A
// valid model that is beyond this package or package ops gives
// ops.ErrUnsupported instead.
var ErrFormat = errors.New("not a valid ONNX file")

// Limits bounds what a model may ask for. A zero field means its default.
type Limits struct {
	// Depth is the nesting of protobuf messages; 64, which allows for
	// subgraphs 20 deep.
	Depth int
	// Name is the length in bytes of a name; 65536.
	Name int
	// Nodes, Attributes and Tensors are how many of each the file may have,
	// subgraphs and functions included; 2^20, 2^22 and 2^20. Tensors are
	// initializers and the values of attributes.
	Nodes, Attributes, Tensors int
	// Value is the size in bytes of any one constant, input or intermediate
	// value; graph.DefaultLimit.
	Value int
	// Constants is the size in bytes of all constants that do not lie in the
	// file: those that had to be converted or moved to an aligned address,
	// and, anew for each call of Graph, those that are computed from others
	// while the graph is built. 1 GiB and 8 times the size of the file.
	Constants int
}

// Options says how to read a model. The zero Options reads a file without
// external data within the default limits.
type Options struct {
	// Alone makes Open leave Dir empty: for files of strangers, whose folder has
	// what is not theirs.
	Alone bool
	// Dir is the folder to which external data is confined, usually that of
	// the model. If it is empty, a model with external data is an error. Open
	// sets it to the folder of the file.
	Dir    string
	Limits Limits
}

// Model is a decoded file. It is immutable and may be used concurrently, except
// for Close.
type Model struct {
	data   []byte
	proto  *pb.Model
	limits Limits

	section
	name     string
	producer [2]string // name and version
	outputs  []Input
	opsets   map[string]int
	digest   func() [sha256.Size]byte

	mu      sync.Mutex
	closed  bool
	tensors map[*pb.Tensor]*tensor.Tensor // those already made
	denses  map[*pb.SparseTensor]*tensor.Tensor
	decoder tensorDecoder
	files   []contents
}

// section is a graph of the file, the model's own or one among the attributes of
// a node, with what is declared in it.
type section struct {
	graph        *pb.Graph
	inputs       []Input // without those that an initializer makes constant
	initializers map[string]*pb.Tensor
	sparse       map[string]*pb.SparseTensor
	order        []int                  // the nodes in topological order
	names        []string               // of the nodes, unique
	free         []string               // what the graph reads and the graphs around it give
	bodies       map[*pb.Graph]*section // the graphs of the nodes
}

// Input describes a graph input or output as the file declares it.
type Input struct {
	Name     string
	DType    tensor.DType // Packed for strings, sequences, optionals and maps; Undefined for what is not supported
	Dims     []Dim        // of a tensor, also of strings
	Unranked bool         // the file does not say how many dimensions there are
	kind     string
}

// Dim is one dimension of an Input: a fixed length, a name that stands for the
// same unknown length wherever it occurs, or unknown with neither.
type Dim struct {
	Value int // -1 if it is not fixed
	Param string
}

// String writes the dimension as "224", "batch" or "?".
func (d Dim) String() string {
	switch {
	case d.Value >= 0:
		return fmt.Sprint(d.Value)
	case d.Param != "":
		return d.Param
	}
	return "?"
}

// Parse decodes a model and checks its structure. The Model and all that is made
// from it share memory with data, which must not be changed any more. A model
// with external data must be closed.
func Parse(data []byte, o Options) (*Model, error) { return parse(data, o, mapFile) }

// Open decodes the model in a file, which it maps into memory where the system
// can. The file and its external data must not be changed until Close.
func Open(path string, o Options) (*Model, error) { return open(path, o, mapFile) }

func open(path string, o Options, get getFile) (*Model, error) {
	file, err := openFile(path, get)
	if err != nil {
		return nil, fmt.Errorf("onnximport: %w", err)
	}
	if o.Dir = filepath.Dir(path); o.Alone {
		o.Dir = ""
	}
	m, err := parse(file.data, o, get)
	if err != nil {
		return nil, errors.Join(err, file.close())
	}
	m.files = append(m.files, file)
	return m, nil
}

// openFile returns the contents of a model file.
func openFile(path string, get getFile) (contents, error) {
	// A FIFO would block in Open.
	if st, err := os.Stat(path); err != nil {
		return contents{}, err
	} else if !st.Mode().IsRegular() {
		return contents{}, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return contents{}, err
	}
	defer f.Close()
	return get(f, maxFile)
}

// maxFile is the most bytes that protobuf allows in a message.
const maxFile = math.MaxInt32

func parse(data []byte, o Options, get getFile) (*Model, error) {
	m := &Model{data: data, proto: &pb.Model{}, limits: o.Limits, tensors: map[*pb.Tensor]*tensor.Tensor{}, denses: map[*pb.SparseTensor]*tensor.Tensor{}}
	if m.limits.Value == 0 {
		m.limits.Value = graph.DefaultLimit
	}
	if m.limits.Constants == 0 {
		m.limits.Constants = int(min(1<<30+8*int64(len(data)), math.MaxInt))
	}
	m.decoder = tensorDecoder{limit: m.limits.Value, left: m.limits.Constants}
	err := pb.Decode(data, m.proto, pb.Limits{
		Depth: m.limits.Depth, Name: m.limits.Name,
		Nodes: m.limits.Nodes, Attributes: m.limits.Attributes, Tensors: m.limits.Tensors,
	})
	if err != nil {
		return nil, fmt.Errorf("onnximport: %w: %w", ErrFormat, err)
	}
	if err := m.index(); err != nil {
		return nil, fmt.Errorf("onnximport: %w", err)
	}
	if err := m.openExternal(o.Dir, get); err != nil {
		return nil, errors.Join(fmt.Errorf("onnximport: %w", err), m.Close())
	}
	m.digest = sync.OnceValue(m.sum)
	return m, nil
}

// Load builds the graph of a model without external data; dimensions that the
// file leaves open become 1. The graph shares memory with data.
func Load(data []byte) (*graph.Graph, error) {
	m, err := Parse(data, Options{})
	if err != nil {
		return nil, err
	}
	return m.Graph(nil)
}

// LoadFile is Load for a file, which may have external data beside it. The files
// are read, not mapped, so there is nothing to close.
func LoadFile(path string) (*graph.Graph, error) {
	m, err := open(path, Options{}, readFile)
	if err != nil {
		return nil, err
	}
	return m.Graph(nil)
}

// Close releases the mapped files. Constants of graphs built from the Model must
// not be used any more: their memory is gone. Names stay valid.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.close())
	}
	m.files = nil
	return errors.Join(errs...)
}

// forget gives the memory of a constant back to the system if it is that of a
// mapped file.
func (m *Model) forget(t *tensor.Tensor) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.files {
		if f.forget == nil {
			continue
		}
		// Only differences within the file's memory are used.
		start := uintptr(unsafe.Pointer(unsafe.SliceData(f.data)))
		lo := uintptr(unsafe.Pointer(unsafe.SliceData(t.Raw))) - start
		if n := uintptr(len(f.data)); lo < n && uintptr(len(t.Raw)) <= n-lo {
			f.forget(int(lo), int(lo)+len(t.Raw))
		}
	}
}

// Inputs returns the graph's inputs in order, without those that an initializer
// makes constant.
func (m *Model) Inputs() []Input { return cloneInputs(m.inputs) }

// Outputs returns the graph's outputs in order, as the file declares them.
func (m *Model) Outputs() []Input { return cloneInputs(m.outputs) }

func cloneInputs(in []Input) []Input {
	out := slices.Clone(in)
	for i := range out {
		out[i].Dims = slices.Clone(out[i].Dims)
	}
	return out
}

// Opsets returns the version of each domain that the file imports; ai.onnx is "".
func (m *Model) Opsets() map[string]int { return maps.Clone(m.opsets) }

// Producer returns name and version of the program that wrote the file.
func (m *Model) Producer() (name, version string) { return m.producer[0], m.producer[1] }

// IRVersion is the version of the ONNX format in which the file is written.
func (m *Model) IRVersion() int64 { return m.proto.IRVersion }

// Name is the name of the graph in the file.
func (m *Model) Name() string { return m.name }

// Nodes is the number of nodes in the file.
func (m *Model) Nodes() int { return len(m.names) }

// Initializers is the number of initializers in the file.
func (m *Model) Initializers() int { return len(m.initializers) }

// External reports whether some of the model's data lies in other files.
func (m *Model) External() bool { return len(m.decoder.external) > 0 }

// Digest is the SHA-256 of the file. If the model has external data, it is the
// SHA-256 of a list of SHA-256 digests: first the file's, then for each external
// file, in the bytewise order of their locations, that of the location and that
// of the contents. It is computed on the first call, which must come before Close.
func (m *Model) Digest() [sha256.Size]byte { return m.digest() }

func (m *Model) sum() [sha256.Size]byte {
	whole := sha256.Sum256(m.data)
	if len(m.decoder.external) == 0 {
		return whole
	}
	list := whole[:]
	for _, location := range slices.Sorted(maps.Keys(m.decoder.external)) {
		name, contents := sha256.Sum256([]byte(location)), sha256.Sum256(m.decoder.external[location])
		list = append(append(list, name[:]...), contents[:]...)
	}
	return sha256.Sum256(list)
}

// index finds what the file declares under which name, and orders the nodes.
func (m *Model) index() error {
	g := m.proto.Graph
	if g == nil {
		return fmt.Errorf("%w: no graph", ErrFormat)
	}
	if len(m.proto.OpsetImport) == 0 {
		return fmt.Errorf("%w: no opset", ErrFormat)
	}
	if len(g.Output) == 0 {
		return fmt.Errorf("%w: the graph has no outputs", ErrFormat)
	}
	m.name = strings.Clone(g.Name)
	m.producer = [2]string{strings.Clone(m.proto.ProducerName), strings.Clone(m.proto.ProducerVersion)}
	if err := m.importOpsets(); err != nil {
		return err
	}
	if err := m.inline(); err != nil {
		return err
	}
	for _, v := range g.Output {
		out, err := declared(v)
		if err != nil {
			return fmt.Errorf("output %q: %w", v.Name, err)
		}
		m.outputs = append(m.outputs, out)
	}
	return m.section.index(g, func(string) bool { return false })
}

// importOpsets notes the version of each domain.
func (m *Model) importOpsets() error {
	m.opsets = map[string]int{}
	for _, o := range m.proto.OpsetImport {
		if o.Version < 1 || o.Version > math.MaxInt32 {
			return fmt.Errorf("%w: opset %d of domain %s", ErrFormat, o.Version, shown(o.Domain))
		}
		d := strings.Clone(domain(o.Domain))
		m.opsets[d] = max(m.opsets[d], int(o.Version))
	}
	return nil
}

// index finds what graph g declares under which name, also in the graphs of its
// nodes, and orders the nodes. outer reports whether a graph around g gives a
// name.
func (s *section) index(g *pb.Graph, outer func(string) bool) error {
	s.graph = g
	s.initializers = map[string]*pb.Tensor{}
	for i := range g.Initializer {
		t := &g.Initializer[i]
		if t.Name == "" {
			return fmt.Errorf("%w: initializer %d has no name", ErrFormat, i)
		}
		if s.initializers[t.Name] != nil {
			return fmt.Errorf("%w: two initializers are named %q", ErrFormat, t.Name)
		}
		s.initializers[t.Name] = t
	}
	s.sparse = map[string]*pb.SparseTensor{}
	for i := range g.SparseInitializer {
		if t := &g.SparseInitializer[i]; t.Values != nil {
			s.sparse[t.Values.Name] = t
		}
	}
	seen := map[string]bool{}
	for _, v := range g.Input {
		if v.Name == "" || seen[v.Name] {
			return fmt.Errorf("%w: two inputs are named %q", ErrFormat, v.Name)
		}
		seen[v.Name] = true
		if s.initializers[v.Name] == nil && s.sparse[v.Name] == nil {
			in, err := declared(v)
			if err != nil {
				return fmt.Errorf("input %q: %w", v.Name, err)
			}
			s.inputs = append(s.inputs, in)
		}
	}
	s.names = nodeNames(g.Node)
	return s.sort(seen, outer)
}

// domain gives ai.onnx its short name, "".
func domain(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

// shown gives ai.onnx its long name.
func shown(d string) string {
	if d == "" {
		return "ai.onnx"
	}
	return d
}

// declared returns what the file says of a graph input or output.
func declared(v pb.ValueInfo) (Input, error) {
	in := Input{Name: strings.Clone(v.Name)}
	t := v.Type
	switch {
	case t == nil:
		in.kind = "of no type"
	case t.Tensor != nil:
		if !t.Tensor.ElemType.Known() {
			return in, fmt.Errorf("%w: element type %v", ErrFormat, t.Tensor.ElemType)
		}
		in.kind = "a tensor of " + t.Tensor.ElemType.String()
		if d := tensor.DType(t.Tensor.ElemType); d.Valid() {
			in.DType = d
		} else if t.Tensor.ElemType == pb.String {
			in.DType = tensor.Packed
		}
		in.Unranked = t.Tensor.Shape == nil
		if in.Unranked {
			break
		}
		for i, d := range t.Tensor.Shape.Dim {
			dim := Dim{Value: -1, Param: strings.Clone(d.Param)}
			if d.HasValue && d.Value >= 0 {
				if d.Value > math.MaxInt {
					return in, fmt.Errorf("%w: dimension %d is %d", tensor.ErrType, i, d.Value)
				}
				dim = Dim{Value: int(d.Value)}
			}
			in.Dims = append(in.Dims, dim)
		}
	case t.Sequence != nil:
		in.kind, in.DType = kindSequence, tensor.Packed
	case t.Map != nil:
		in.kind, in.DType = kindMap, tensor.Packed
	case t.SparseTensor != nil:
		in.kind = "a sparse tensor"
	case t.Optional != nil:
		in.kind, in.DType = kindOptional, tensor.Packed
	default:
		in.kind = "of an unknown type"
	}
	return in, nil
}

// concrete returns the types of the inputs when those named in shapes have these
// shapes; see Graph. That of a packed value is Undefined, since it is late.
func (m *Model) concrete(shapes map[string]tensor.Shape) ([]tensor.Type, error) {
	type binding struct {
		value int
		input string
	}
	bound := map[string]binding{}
	known := 0
	for _, in := range m.inputs {
		s, ok := shapes[in.Name]
		if !ok {
			continue
		}
		known++
		if in.Unranked || in.DType == tensor.Packed {
			continue
		}
		if len(s) != len(in.Dims) {
			return nil, fmt.Errorf("input %q: got shape %v of rank %d, want rank %d", in.Name, s, len(s), len(in.Dims))
		}
		for i, d := range in.Dims {
			switch b, ok := bound[d.Param]; {
			case d.Value >= 0 && s[i] != d.Value:
				return nil, fmt.Errorf("input %q: got %d for dimension %d, want %d", in.Name, s[i], i, d.Value)
			case d.Value >= 0 || d.Param == "":
			case ok && b.value != s[i]:
				return nil, fmt.Errorf("input %q: got %d for dimension %q, want %d as in input %q", in.Name, s[i], d.Param, b.value, b.input)
			default:
				bound[d.Param] = binding{s[i], in.Name}
			}
		}
	}
	if known < len(shapes) {
		for _, name := range slices.Sorted(maps.Keys(shapes)) {
			if !slices.ContainsFunc(m.inputs, func(in Input) bool { return in.Name == name }) {
				return nil, fmt.Errorf("a shape is given for %q, which is no input of the model", name)
			}
		}
	}
	types := make([]tensor.Type, len(m.inputs))
	for i, in := range m.inputs {
		if in.DType == tensor.Undefined {
			return nil, fmt.Errorf("input %q: %w: it is %s", in.Name, ops.ErrUnsupported, in.kind)
		}
		if in.DType == tensor.Packed {
			continue
		}
		s, ok := shapes[in.Name]
		if !ok && in.Unranked {
			return nil, fmt.Errorf("input %q: the file gives no shape; one must be given", in.Name)
		}
		s = s.Clone()
		for _, d := range in.Dims {
			switch b, known := bound[d.Param]; {
			case ok: // the shape is given
			case d.Value >= 0:
				s = append(s, d.Value)
			case known:
				s = append(s, b.value)
			default:
				s = append(s, 1)
			}
		}
		t, err := tensor.CheckType(in.DType, s, m.limits.Value)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", in.Name, err)
		}
		types[i] = t
	}
	return types, nil
}
