//go:build !riscv64

package onnxgo

import (
	"bytes"
	"fmt"
	"math"

	"github.com/owulveryck/onnx-go"

	"scission/engine/tensor"
	"scission/onnximport"
	"scission/onnximport/internal/pb"
	"scission/ops"
)

// Unmarshal decodes a file with onnx-go into a Graph of its own, and returns both.
// It is what onnx-go's UnmarshalBinary does, but safe for any bytes. The opset is
// the file's; if o states one, it must be that. The error says what is wrong with
// the file (onnximport.ErrFormat), or what in it is beyond onnx-go
// (ops.ErrUnsupported, or the *onnx.ErrNotImplemented of an operator that package
// ops does not have).
//
// Limits are those of package onnximport; the declared types of the inputs, of
// which onnx-go makes tensors, may have MaxDeclared bytes together.
func Unmarshal(data []byte, o Options) (m *onnx.Model, g *Graph, err error) {
	defer func() {
		if r := recover(); r != nil {
			m, g, err = nil, nil, fmt.Errorf("onnxgo: onnx-go panicked: %v", r)
		}
	}()
	var p pb.Model
	if err := pb.Decode(data, &p, pb.Limits{}); err != nil {
		return nil, nil, fmt.Errorf("onnxgo: %w: %w", onnximport.ErrFormat, err)
	}
	opset, err := opsetOf(&p)
	if err == nil && o.Opset != 0 && o.Opset != opset {
		err = fmt.Errorf("the file is of opset %d, want %d", opset, o.Opset)
	}
	if err == nil {
		err = portable(&p)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("onnxgo: %w", err)
	}
	if _, err := onnximport.Parse(data, onnximport.Options{}); err != nil {
		return nil, nil, err
	}
	// What is written anew has only what was checked: no value_info, whose types
	// would all become tensors, no documentation, nothing of an unknown number.
	var file bytes.Buffer
	if err := pb.Encode(&file, &p); err != nil {
		return nil, nil, fmt.Errorf("onnxgo: %w", err)
	}
	o.Opset = opset
	g = NewGraph(o)
	m = onnx.NewModel(g)
	if err := m.UnmarshalBinary(file.Bytes()); err != nil {
		return nil, nil, err
	}
	return m, g, nil
}

// MaxDeclared bounds the bytes of the tensors that Unmarshal lets onnx-go make of
// the declared types of a model's inputs.
const MaxDeclared = 1 << 28

// opsetOf is the version of ai.onnx that the file imports.
func opsetOf(p *pb.Model) (int, error) {
	opset := 0
	for _, s := range p.OpsetImport {
		if s.Domain == "" || s.Domain == "ai.onnx" {
			opset = max(opset, int(s.Version))
		}
	}
	if opset == 0 {
		return 0, fmt.Errorf("%w: the file imports no opset of ai.onnx", onnximport.ErrFormat)
	}
	return opset, nil
}

// portable checks that onnx-go takes the model for what it is, and drops what it
// does not need and would take for something else.
func portable(p *pb.Model) error {
	if len(p.Functions) > 0 {
		return fmt.Errorf("function %q of the model: %w by onnx-go, which drops functions", p.Functions[0].Name, ops.ErrUnsupported)
	}
	g := p.Graph
	if g == nil {
		return fmt.Errorf("%w: no graph", onnximport.ErrFormat)
	}
	if len(g.Node) == 0 {
		return fmt.Errorf("a model without nodes: %w by onnx-go", ops.ErrUnsupported)
	}
	if len(g.SparseInitializer) > 0 {
		return fmt.Errorf("a sparse initializer: %w by onnx-go, which drops it", ops.ErrUnsupported)
	}
	constant := map[string]bool{}
	for i := range g.Initializer {
		t := &g.Initializer[i]
		constant[t.Name] = true
		if err := portableTensor(t); err != nil {
			return fmt.Errorf("initializer %q: %w", t.Name, err)
		}
	}
	left := MaxDeclared
	var inputs []pb.ValueInfo // without those that are constants, which only give room for mistakes
	for _, v := range g.Input {
		if constant[v.Name] {
			continue
		}
		if err := portableInput(v, &left); err != nil {
			return fmt.Errorf("input %q: %w", v.Name, err)
		}
		inputs = append(inputs, v)
	}
	g.Input = inputs
	for i := range g.Output {
		g.Output[i].Type = nil // of which onnx-go would make a tensor
	}
	for i := range g.Node {
		if err := portableNode(&g.Node[i]); err != nil {
			return fmt.Errorf("node %d (%s): %w", i, g.Node[i].OpType, err)
		}
	}
	return nil
}

func portableNode(n *pb.Node) error {
	if n.Domain != "" && n.Domain != "ai.onnx" {
		return fmt.Errorf("domain %s: %w by onnx-go, which drops domains", n.Domain, ops.ErrUnsupported)
	}
	for i := range n.Attribute {
		a := &n.Attribute[i]
		a.Type = a.Guess()
		switch a.Type {
		case pb.AttrFloat, pb.AttrInt, pb.AttrString, pb.AttrFloats, pb.AttrInts, pb.AttrStrings:
		case pb.AttrTensor:
			if a.T == nil {
				return fmt.Errorf("attribute %q: %w: its tensor is missing", a.Name, onnximport.ErrFormat)
			}
			if err := portableTensor(a.T); err != nil {
				return fmt.Errorf("attribute %q: %w", a.Name, err)
			}
		default:
			return fmt.Errorf("attribute %q of type %v: %w by onnx-go", a.Name, a.Type, ops.ErrUnsupported)
		}
	}
	return nil
}

// portableInput checks an input and takes the bytes of its declared type from left.
func portableInput(v pb.ValueInfo, left *int) error {
	if v.Type == nil {
		return nil
	}
	if v.Type.Tensor == nil {
		return fmt.Errorf("it is no tensor: %w by onnx-go", ops.ErrUnsupported)
	}
	d := tensor.DType(v.Type.Tensor.ElemType)
	if !d.Valid() || d == tensor.Float16 || d == tensor.BFloat16 {
		return fmt.Errorf("elements of type %v: %w by onnx-go", v.Type.Tensor.ElemType, ops.ErrUnsupported)
	}
	if v.Type.Tensor.Shape == nil {
		return nil
	}
	var shape tensor.Shape
	for i := range v.Type.Tensor.Shape.Dim {
		switch dim := &v.Type.Tensor.Shape.Dim[i]; {
		case !dim.HasValue:
		case dim.Value < 0:
			dim.HasValue, dim.Value = false, 0 // unknown, as exporters mean it
		case dim.Value == 0 || dim.Value > math.MaxInt32:
			return fmt.Errorf("dimension %d is %d: %w by onnx-go", i, dim.Value, ops.ErrUnsupported)
		default:
			shape = append(shape, int(dim.Value))
		}
	}
	t, err := tensor.CheckType(d, shape, *left)
	if err != nil {
		return err
	}
	*left -= t.Bytes()
	return nil
}

// portableTensor checks that onnx-go reads a tensor, and as it is.
func portableTensor(p *pb.Tensor) error {
	field, ok := map[tensor.DType]pb.TypedField{
		tensor.Float32: pb.FloatData, tensor.Float64: pb.DoubleData,
		tensor.Int32: pb.Int32Data, tensor.Int64: pb.Int64Data, tensor.Bool: pb.Int32Data,
	}[tensor.DType(p.DataType)]
	switch {
	case !ok:
		return fmt.Errorf("elements of type %v: %w by onnx-go", p.DataType, ops.ErrUnsupported)
	case p.Segment != nil || p.DataLocation == pb.External:
		return fmt.Errorf("data in another file or tensor: %w by onnx-go", ops.ErrUnsupported)
	case p.RawData != nil && tensor.DType(p.DataType) == tensor.Bool:
		return fmt.Errorf("elements of type bool as raw data: %w by onnx-go, which misreads them", ops.ErrUnsupported)
	}
	var shape tensor.Shape
	for i, d := range p.Dims {
		if d < 0 || d > math.MaxInt32 {
			return fmt.Errorf("%w: dimension %d is %d", onnximport.ErrFormat, i, d)
		}
		shape = append(shape, int(d))
	}
	t, err := tensor.CheckType(tensor.DType(p.DataType), shape, math.MaxInt)
	if err != nil {
		return fmt.Errorf("%w: %w", onnximport.ErrFormat, err)
	}
	n := t.Shape.Elems()
	if n == 0 {
		return fmt.Errorf("no elements in shape %v: %w by onnx-go", shape, ops.ErrUnsupported)
	}
	got := len(p.RawData) / t.DType.Size()
	if p.RawData == nil {
		if p.Typed.Field != field && !p.Typed.Absent() {
			return fmt.Errorf("%w: elements of type %v in %v, want %v", onnximport.ErrFormat, p.DataType, p.Typed.Field, field)
		}
		if got, err = p.Typed.Len(); err != nil {
			return fmt.Errorf("%w: %w", onnximport.ErrFormat, err)
		}
	} else if len(p.RawData)%t.DType.Size() != 0 || !p.Typed.Absent() {
		return fmt.Errorf("%w: %d bytes of raw data for elements of type %v", onnximport.ErrFormat, len(p.RawData), p.DataType)
	}
	if got != n {
		return fmt.Errorf("%w: %d elements for shape %v", onnximport.ErrFormat, got, shape)
	}
	return nil
}
