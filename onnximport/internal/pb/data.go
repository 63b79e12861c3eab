package pb

// Sequence is a SequenceProto: the values are in the list of their kind.
//
// These messages are those of onnx-data.proto, ONNX 1.21.
type Sequence struct {
	Name      string
	ElemType  int32
	Tensors   []Tensor
	Sequences []Sequence
	Maps      []Map
	Optionals []Optional
}

func (s *Sequence) fields(c *coder) {
	c.string(1, &s.Name, false)
	enum(c, 2, &s.ElemType)
	repeated(c, 3, &s.Tensors)
	repeated(c, 5, &s.Sequences)
	repeated(c, 6, &s.Maps)
	repeated(c, 7, &s.Optionals)
}

// Map is a MapProto: the keys are in the list of their kind.
type Map struct {
	Name       string
	KeyType    DataType
	Keys       []int64
	StringKeys []string
	Values     *Sequence
}

func (m *Map) fields(c *coder) {
	c.string(1, &m.Name, false)
	enum(c, 2, &m.KeyType)
	c.int64s(3, &m.Keys)
	c.byteStrings(4, &m.StringKeys)
	single(c, 5, &m.Values)
}

// Optional is an OptionalProto: at most one value is set.
type Optional struct {
	Name     string
	ElemType int32
	Tensor   *Tensor
	Sequence *Sequence
	Map      *Map
	Optional *Optional
}

func (o *Optional) fields(c *coder) {
	c.string(1, &o.Name, false)
	enum(c, 2, &o.ElemType)
	single(c, 3, &o.Tensor)
	single(c, 5, &o.Sequence)
	single(c, 6, &o.Map)
	single(c, 7, &o.Optional)
}
