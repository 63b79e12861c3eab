// Package pb holds the messages of an ONNX file and reads and writes them in
// protobuf's wire form. It knows no graph, no operator and no tensor type; that
// is onnximport's part.
//
// Decoding copies nothing: strings, raw_data and typed tensor data share memory
// with the input. Fields that nothing here needs (documentation, value_info,
// training, annotations, device configurations) are skipped. Field numbers are
// those of onnx.proto, ONNX 1.21 (IR version 13).
package pb

// Model is a ModelProto.
type Model struct {
	IRVersion       int64
	ProducerName    string
	ProducerVersion string
	Domain          string
	ModelVersion    int64
	Graph           *Graph
	OpsetImport     []OperatorSet
	Metadata        []Entry
	Functions       []Function
}

func (m *Model) fields(c *coder) {
	c.int64(1, &m.IRVersion, true)
	c.string(2, &m.ProducerName, false)
	c.string(3, &m.ProducerVersion, false)
	c.string(4, &m.Domain, false)
	c.int64(5, &m.ModelVersion, false)
	single(c, 7, &m.Graph)
	repeated(c, 8, &m.OpsetImport)
	repeated(c, 14, &m.Metadata)
	repeated(c, 25, &m.Functions)
}

// OperatorSet is an OperatorSetIdProto: the version of a domain's operators.
type OperatorSet struct {
	Domain  string
	Version int64
}

func (o *OperatorSet) fields(c *coder) {
	c.string(1, &o.Domain, false)
	c.int64(2, &o.Version, true)
}

// Entry is a StringStringEntryProto.
type Entry struct{ Key, Value string }

func (e *Entry) fields(c *coder) {
	c.string(1, &e.Key, false)
	c.string(2, &e.Value, false)
}

// Graph is a GraphProto.
type Graph struct {
	Node              []Node
	Name              string
	Initializer       []Tensor
	Input, Output     []ValueInfo
	SparseInitializer []SparseTensor
}

func (g *Graph) fields(c *coder) {
	repeated(c, 1, &g.Node)
	c.string(2, &g.Name, false)
	repeated(c, 5, &g.Initializer)
	repeated(c, 11, &g.Input)
	repeated(c, 12, &g.Output)
	repeated(c, 15, &g.SparseInitializer)
}

// Node is a NodeProto.
type Node struct {
	Input, Output []string
	Name          string
	OpType        string
	Attribute     []Attribute
	Domain        string
	Overload      string
	Opsets        map[string]int // where they are not the model's; not in a file
}

func (n *Node) fields(c *coder) {
	c.strings(1, &n.Input)
	c.strings(2, &n.Output)
	c.string(3, &n.Name, false)
	c.string(4, &n.OpType, false)
	repeated(c, 5, &n.Attribute)
	c.string(7, &n.Domain, false)
	c.string(8, &n.Overload, false)
}

// AttributeType says which field of an Attribute holds its value.
type AttributeType int32

// The values of AttributeProto.AttributeType.
const (
	AttrUndefined AttributeType = iota
	AttrFloat
	AttrInt
	AttrString
	AttrTensor
	AttrGraph
	AttrFloats
	AttrInts
	AttrStrings
	AttrTensors
	AttrGraphs
	AttrSparseTensor
	AttrSparseTensors
	AttrType
	AttrTypes
)

var attributeTypes = [...]string{"UNDEFINED", "FLOAT", "INT", "STRING", "TENSOR", "GRAPH", "FLOATS", "INTS", "STRINGS",
	"TENSORS", "GRAPHS", "SPARSE_TENSOR", "SPARSE_TENSORS", "TYPE_PROTO", "TYPE_PROTOS"}

// String is the name in the schema, such as "SPARSE_TENSOR".
func (t AttributeType) String() string { return name(attributeTypes[:], int(t)) }

// Attribute is an AttributeProto.
type Attribute struct {
	Name          string
	F             float32
	I             int64
	S             string
	T             *Tensor
	G             *Graph
	Floats        []float32
	Ints          []int64
	Strings       []string
	Tensors       []Tensor
	Graphs        []Graph
	TP            *Type
	TypeProtos    []Type
	Type          AttributeType
	RefAttrName   string
	SparseTensor  *SparseTensor
	SparseTensors []SparseTensor
}

func (a *Attribute) fields(c *coder) {
	c.string(1, &a.Name, false)
	c.float(2, &a.F, a.Type == AttrFloat)
	c.int64(3, &a.I, a.Type == AttrInt)
	c.bytes(4, &a.S, a.Type == AttrString)
	single(c, 5, &a.T)
	single(c, 6, &a.G)
	c.floats(7, &a.Floats)
	c.int64s(8, &a.Ints)
	c.byteStrings(9, &a.Strings)
	repeated(c, 10, &a.Tensors)
	repeated(c, 11, &a.Graphs)
	single(c, 14, &a.TP)
	repeated(c, 15, &a.TypeProtos)
	enum(c, 20, &a.Type)
	c.string(21, &a.RefAttrName, false)
	single(c, 22, &a.SparseTensor)
	repeated(c, 23, &a.SparseTensors)
}

// Guess returns a.Type, or for files of IR version 1, which have no type
// field, the type of the value that is set.
func (a *Attribute) Guess() AttributeType {
	if a.Type != AttrUndefined {
		return a.Type
	}
	for _, g := range [...]struct {
		set bool
		t   AttributeType
	}{
		{a.F != 0, AttrFloat}, {a.I != 0, AttrInt}, {a.S != "", AttrString}, {a.T != nil, AttrTensor}, {a.G != nil, AttrGraph},
		{a.Floats != nil, AttrFloats}, {a.Ints != nil, AttrInts}, {a.Strings != nil, AttrStrings},
		{a.Tensors != nil, AttrTensors}, {a.Graphs != nil, AttrGraphs},
	} {
		if g.set {
			return g.t
		}
	}
	return AttrUndefined
}

// DataType is an element type.
type DataType int32

// The values of TensorProto.DataType.
const (
	Undefined DataType = iota
	Float
	Uint8
	Int8
	Uint16
	Int16
	Int32
	Int64
	String
	Bool
	Float16
	Double
	Uint32
	Uint64
	Complex64
	Complex128
	BFloat16
	Float8E4M3FN
	Float8E4M3FNUZ
	Float8E5M2
	Float8E5M2FNUZ
	Uint4
	Int4
	Float4E2M1
	Float8E8M0
	Uint2
	Int2
)

var dataTypes = [...]string{"UNDEFINED", "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL",
	"FLOAT16", "DOUBLE", "UINT32", "UINT64", "COMPLEX64", "COMPLEX128", "BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ",
	"FLOAT8E5M2", "FLOAT8E5M2FNUZ", "UINT4", "INT4", "FLOAT4E2M1", "FLOAT8E8M0", "UINT2", "INT2"}

// String is the name in the schema, such as "FLOAT8E4M3FN".
func (d DataType) String() string { return name(dataTypes[:], int(d)) }

// Known reports whether d is a type of the schema other than Undefined.
func (d DataType) Known() bool { return d > Undefined && int(d) < len(dataTypes) }

// External is the value of Tensor.DataLocation for data in another file.
const External = 1

// Tensor is a TensorProto.
type Tensor struct {
	Dims         []int64
	DataType     DataType
	Segment      *Segment
	Name         string
	RawData      []byte // nil if the field is absent
	Typed        Typed  // float_data, int32_data and the like
	ExternalData []Entry
	DataLocation int32
}

func (t *Tensor) fields(c *coder) {
	c.int64s(1, &t.Dims)
	enum(c, 2, &t.DataType)
	single(c, 3, &t.Segment)
	for _, f := range [...]TypedField{FloatData, Int32Data, StringData, Int64Data, DoubleData, Uint64Data} {
		c.typed(f, &t.Typed)
	}
	c.string(8, &t.Name, false)
	c.raw(9, &t.RawData)
	repeated(c, 13, &t.ExternalData)
	enum(c, 14, &t.DataLocation)
}

// Segment is a TensorProto.Segment.
type Segment struct{ Begin, End int64 }

func (s *Segment) fields(c *coder) {
	c.int64(1, &s.Begin, false)
	c.int64(2, &s.End, false)
}

// SparseTensor is a SparseTensorProto.
type SparseTensor struct {
	Values, Indices *Tensor
	Dims            []int64
}

func (s *SparseTensor) fields(c *coder) {
	single(c, 1, &s.Values)
	single(c, 2, &s.Indices)
	c.int64s(3, &s.Dims)
}

// ValueInfo is a ValueInfoProto.
type ValueInfo struct {
	Name string
	Type *Type
}

func (v *ValueInfo) fields(c *coder) {
	c.string(1, &v.Name, false)
	single(c, 2, &v.Type)
}

// Type is a TypeProto: at most one field is set.
type Type struct {
	Tensor       *TensorType
	Sequence     *ElemType
	Map          *MapType
	Opaque       *OpaqueType
	SparseTensor *TensorType
	Optional     *ElemType
}

func (t *Type) fields(c *coder) {
	single(c, 1, &t.Tensor)
	single(c, 4, &t.Sequence)
	single(c, 5, &t.Map)
	single(c, 7, &t.Opaque)
	single(c, 8, &t.SparseTensor)
	single(c, 9, &t.Optional)
}

// TensorType is a TypeProto.Tensor or a TypeProto.SparseTensor. A nil Shape
// means that the rank is unknown.
type TensorType struct {
	ElemType DataType
	Shape    *Shape
}

func (t *TensorType) fields(c *coder) {
	enum(c, 1, &t.ElemType)
	single(c, 2, &t.Shape)
}

// ElemType is a TypeProto.Sequence or a TypeProto.Optional.
type ElemType struct{ Elem *Type }

func (t *ElemType) fields(c *coder) { single(c, 1, &t.Elem) }

// MapType is a TypeProto.Map.
type MapType struct {
	Key   DataType
	Value *Type
}

func (t *MapType) fields(c *coder) {
	enum(c, 1, &t.Key)
	single(c, 2, &t.Value)
}

// OpaqueType is a TypeProto.Opaque.
type OpaqueType struct{ Domain, Name string }

func (t *OpaqueType) fields(c *coder) {
	c.string(1, &t.Domain, false)
	c.string(2, &t.Name, false)
}

// Shape is a TensorShapeProto.
type Shape struct{ Dim []Dim }

func (s *Shape) fields(c *coder) { repeated(c, 1, &s.Dim) }

// Dim is a TensorShapeProto.Dimension: a length, a name, or neither.
type Dim struct {
	Value    int64
	HasValue bool
	Param    string
}

func (d *Dim) fields(c *coder) {
	c.present(1, &d.HasValue)
	c.int64(1, &d.Value, d.HasValue)
	c.string(2, &d.Param, false)
}

// Function is a FunctionProto.
type Function struct {
	Name           string
	Input, Output  []string
	Attribute      []string
	Node           []Node
	OpsetImport    []OperatorSet
	Domain         string
	AttributeProto []Attribute
	Overload       string
}

func (f *Function) fields(c *coder) {
	c.string(1, &f.Name, false)
	c.strings(4, &f.Input)
	c.strings(5, &f.Output)
	c.strings(6, &f.Attribute)
	repeated(c, 7, &f.Node)
	repeated(c, 9, &f.OpsetImport)
	c.string(10, &f.Domain, false)
	repeated(c, 11, &f.AttributeProto)
	c.string(13, &f.Overload, false)
}
