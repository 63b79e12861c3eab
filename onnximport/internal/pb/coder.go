package pb

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrWire is in every error of Decode: the bytes are no such message, or
// beyond the limits.
var ErrWire = errors.New("bad protobuf")

// Limits bounds what Decode accepts. A zero field means its default.
type Limits struct {
	Depth int // nesting of messages; DefaultDepth
	Name  int // bytes of a string field other than an attribute's value; DefaultName

	// Messages of three kinds, wherever they are.
	Nodes      int // DefaultNodes
	Attributes int // DefaultAttributes
	Tensors    int // DefaultTensors
}

// The defaults of Limits. Each level of subgraphs takes three levels of
// messages: graph, node, attribute.
const (
	DefaultDepth      = 64
	DefaultName       = 1 << 16
	DefaultNodes      = 1 << 20
	DefaultAttributes = 1 << 22
	DefaultTensors    = 1 << 20
)

// Decode holds at most memoryBase + memoryFactor*len(input) bytes in structures
// of its own (twice that while a list grows). The densest valid file, whose
// attributes take 17 bytes each, needs a factor of about 20.
const (
	memoryBase   = 1 << 20
	memoryFactor = 64
)

// maxMessage is the most bytes that protobuf allows in a message.
const maxMessage = math.MaxInt32

// A message lists its fields once, for reading as well as for writing.
type message interface{ fields(c *coder) }

// A coder goes through the fields of one message. While it writes, each method
// writes the field it is called for. While it reads, it stands at one field of
// the input, and the method that is called with that field's number takes it.
type coder struct {
	w *writer // nil while reading

	d      *decoder
	depth  int
	num    protowire.Number
	typ    protowire.Type
	value  uint64 // of a varint, fixed32 or fixed64 field
	body   []byte // of a bytes field
	record []byte // the whole field with its tag
}

type decoder struct {
	limits Limits
	memory int // what may still be allocated

	nodes, attributes, tensors int // so far

	coders []coder // one for each level of nesting
	err    error   // the first thing that went wrong
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrWire}, args...)...)
	}
}

// allocate reports whether n elements of size bytes may be allocated.
func (d *decoder) allocate(n int, size uintptr) bool {
	if n > d.memory/int(size) {
		d.fail("more elements than a file of this size can need")
		return false
	}
	d.memory -= n * int(size)
	return true
}

// Decode reads a message. m shares memory with b. The message must be empty.
func Decode(b []byte, m message, l Limits) error {
	l.Depth = cmp.Or(l.Depth, DefaultDepth)
	l.Name = cmp.Or(l.Name, DefaultName)
	l.Nodes = cmp.Or(l.Nodes, DefaultNodes)
	l.Attributes = cmp.Or(l.Attributes, DefaultAttributes)
	l.Tensors = cmp.Or(l.Tensors, DefaultTensors)
	memory := math.MaxInt
	if len(b) < (math.MaxInt-memoryBase)/memoryFactor {
		memory = memoryBase + memoryFactor*len(b)
	}
	d := &decoder{limits: l, memory: memory, coders: make([]coder, l.Depth)}
	d.message(b, m, 0)
	return d.err
}

// count counts a message of a kind of which there may be limit.
func (d *decoder) count(n *int, limit int, what string) {
	if *n++; *n > limit {
		d.fail("more than %d %s", limit, what)
	}
}

func (d *decoder) message(b []byte, m message, depth int) {
	if depth == len(d.coders) {
		d.fail("messages are nested more than %d deep", depth)
		return
	}
	switch m.(type) {
	case *Node:
		d.count(&d.nodes, d.limits.Nodes, "nodes")
	case *Attribute:
		d.count(&d.attributes, d.limits.Attributes, "attributes")
	case *Tensor:
		d.count(&d.tensors, d.limits.Tensors, "tensors")
	}
	c := &d.coders[depth]
	c.d, c.depth = d, depth
	for len(b) > 0 && d.err == nil {
		n := c.next(b)
		if n < 0 {
			d.fail("%T: %v", m, protowire.ParseError(n))
			return
		}
		m.fields(c)
		b = b[n:]
	}
}

// next stands c at the field with which b begins and returns the field's length.
func (c *coder) next(b []byte) int {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return n
	}
	c.num, c.typ, c.body = num, typ, nil
	var k int
	switch typ {
	case protowire.VarintType:
		c.value, k = protowire.ConsumeVarint(b[n:])
	case protowire.Fixed32Type:
		var v uint32
		v, k = protowire.ConsumeFixed32(b[n:])
		c.value = uint64(v)
	case protowire.Fixed64Type:
		c.value, k = protowire.ConsumeFixed64(b[n:])
	case protowire.BytesType:
		c.body, k = protowire.ConsumeBytes(b[n:])
	default:
		k = protowire.ConsumeFieldValue(num, typ, b[n:])
	}
	if k < 0 {
		return k
	}
	c.record = b[:n+k]
	return n + k
}

// skip reports whether there is nothing to do for field num, as c stands at
// another. The methods for fields are split in two so that this is inlined: most
// calls end here.
func (c *coder) skip(num protowire.Number) bool { return c.num != num && c.w == nil }

// is checks that the field at hand has the wire type t or u.
func (c *coder) is(t, u protowire.Type) bool {
	if c.typ != t && c.typ != u {
		c.d.fail("field %d has wire type %d, want %d", c.num, c.typ, t)
		return false
	}
	return true
}

// alias returns b as a string that shares memory with b.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// string is a string field, left out of the file when empty unless always is set.
func (c *coder) string(num protowire.Number, p *string, always bool) {
	if !c.skip(num) {
		c.doString(num, p, always)
	}
}

func (c *coder) doString(num protowire.Number, p *string, always bool) {
	if c.w != nil {
		if *p != "" || always {
			c.w.bytes(num, *p)
		}
	} else if c.is(protowire.BytesType, protowire.BytesType) && c.short() {
		*p = alias(c.body)
	}
}

// short reports whether the string at hand keeps to the limit.
func (c *coder) short() bool {
	if len(c.body) > c.d.limits.Name {
		c.d.fail("field %d is a string of %d bytes, want at most %d", c.num, len(c.body), c.d.limits.Name)
		return false
	}
	return true
}

// bytes is a string field of any length.
func (c *coder) bytes(num protowire.Number, p *string, always bool) {
	if !c.skip(num) {
		c.doBytes(num, p, always)
	}
}

func (c *coder) doBytes(num protowire.Number, p *string, always bool) {
	if c.w != nil {
		c.doString(num, p, always)
	} else if c.is(protowire.BytesType, protowire.BytesType) {
		*p = alias(c.body)
	}
}

// strings is a repeated string field.
func (c *coder) strings(num protowire.Number, p *[]string) {
	if !c.skip(num) && (c.w != nil || c.short()) {
		c.doStrings(num, p)
	}
}

// byteStrings is a repeated string field with strings of any length.
func (c *coder) byteStrings(num protowire.Number, p *[]string) {
	if !c.skip(num) {
		c.doStrings(num, p)
	}
}

func (c *coder) doStrings(num protowire.Number, p *[]string) {
	if c.w != nil {
		for _, s := range *p {
			c.w.bytes(num, s)
		}
	} else if c.is(protowire.BytesType, protowire.BytesType) && c.d.allocate(1, unsafe.Sizeof("")) {
		*p = append(*p, alias(c.body))
	}
}

// raw is a bytes field; nil is absent.
func (c *coder) raw(num protowire.Number, p *[]byte) {
	if !c.skip(num) {
		c.doRaw(num, p)
	}
}

func (c *coder) doRaw(num protowire.Number, p *[]byte) {
	if c.w != nil {
		if *p != nil {
			c.w.bytes(num, alias(*p))
		}
	} else if c.is(protowire.BytesType, protowire.BytesType) {
		*p = c.body
		if *p == nil {
			*p = []byte{}
		}
	}
}

func (c *coder) int64(num protowire.Number, p *int64, always bool) {
	if !c.skip(num) {
		c.doInt64(num, p, always)
	}
}

func (c *coder) doInt64(num protowire.Number, p *int64, always bool) {
	if c.w != nil {
		if *p != 0 || always {
			c.w.varint(num, uint64(*p))
		}
	} else if c.is(protowire.VarintType, protowire.VarintType) {
		*p = int64(c.value)
	}
}

// present notes that field num is in the input.
func (c *coder) present(num protowire.Number, p *bool) {
	if c.w == nil && c.num == num {
		*p = true
	}
}

// enum is an int32 field, left out of the file when zero.
func enum[E ~int32](c *coder, num protowire.Number, p *E) {
	if !c.skip(num) {
		v := int64(*p)
		c.doInt64(num, &v, false)
		*p = E(v)
	}
}

func (c *coder) float(num protowire.Number, p *float32, always bool) {
	if !c.skip(num) {
		c.doFloat(num, p, always)
	}
}

func (c *coder) doFloat(num protowire.Number, p *float32, always bool) {
	if c.w != nil {
		if *p != 0 || always {
			c.w.fixed32(num, math.Float32bits(*p))
		}
	} else if c.is(protowire.Fixed32Type, protowire.Fixed32Type) {
		*p = math.Float32frombits(uint32(c.value))
	}
}

// int64s is a repeated integer field. It is written unpacked, as the ONNX
// project's own files are, and read either way.
func (c *coder) int64s(num protowire.Number, p *[]int64) {
	if !c.skip(num) {
		c.doInt64s(num, p)
	}
}

func (c *coder) doInt64s(num protowire.Number, p *[]int64) {
	if c.w != nil {
		for _, v := range *p {
			c.w.varint(num, uint64(v))
		}
	} else if c.is(protowire.BytesType, protowire.VarintType) {
		n := 1
		if c.typ == protowire.BytesType {
			n = varints(c.body)
		}
		if !c.d.allocate(n, 8) {
			return
		}
		if c.typ == protowire.VarintType {
			*p = append(*p, int64(c.value))
			return
		}
		*p = slices.Grow(*p, n)
		for b := c.body; len(b) > 0; {
			v, k := protowire.ConsumeVarint(b)
			if k < 0 {
				c.d.fail("field %d: %v", num, protowire.ParseError(k))
				return
			}
			*p = append(*p, int64(v))
			b = b[k:]
		}
	}
}

func (c *coder) floats(num protowire.Number, p *[]float32) {
	if !c.skip(num) {
		c.doFloats(num, p)
	}
}

func (c *coder) doFloats(num protowire.Number, p *[]float32) {
	if c.w != nil {
		for _, v := range *p {
			c.w.fixed32(num, math.Float32bits(v))
		}
	} else if c.is(protowire.BytesType, protowire.Fixed32Type) {
		b := c.body
		if c.typ == protowire.Fixed32Type {
			b = c.record[len(c.record)-4:]
		}
		if len(b)%4 != 0 {
			c.d.fail("field %d: %d bytes of floats, want a multiple of 4", num, len(b))
		} else if c.d.allocate(len(b)/4, 4) {
			for ; len(b) > 0; b = b[4:] {
				v, _ := protowire.ConsumeFixed32(b)
				*p = append(*p, math.Float32frombits(v))
			}
		}
	}
}

// pointer is the pointer to a message struct.
type pointer[M any] interface {
	*M
	message
}

// single is a field with a message; nil is absent.
func single[M any, P pointer[M]](c *coder, num protowire.Number, p *P) {
	if !c.skip(num) {
		doSingle(c, num, p)
	}
}

func doSingle[M any, P pointer[M]](c *coder, num protowire.Number, p *P) {
	if c.w != nil {
		if *p != nil {
			c.w.message(num, *p)
		}
	} else if c.is(protowire.BytesType, protowire.BytesType) {
		if *p != nil {
			c.d.fail("field %d is given twice", num)
		} else if c.d.allocate(1, unsafe.Sizeof(*new(M))) {
			*p = new(M)
			c.d.message(c.body, *p, c.depth+1)
		}
	}
}

// repeated is a field with any number of messages.
func repeated[M any, P pointer[M]](c *coder, num protowire.Number, p *[]M) {
	if !c.skip(num) {
		doRepeated[M, P](c, num, p)
	}
}

func doRepeated[M any, P pointer[M]](c *coder, num protowire.Number, p *[]M) {
	if c.w != nil {
		for i := range *p {
			c.w.message(num, P(&(*p)[i]))
		}
	} else if c.is(protowire.BytesType, protowire.BytesType) && c.d.allocate(1, unsafe.Sizeof(*new(M))) {
		var m M
		*p = append(*p, m)
		c.d.message(c.body, P(&(*p)[len(*p)-1]), c.depth+1)
	}
}

// Encode writes m. Large strings and tensor data are not copied on the way. The
// same message always gives the same bytes.
func Encode(out io.Writer, m message) error {
	parts, err := Parts(m)
	for _, b := range parts {
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	return err
}

// Parts returns what Encode writes, piece by piece. Large tensor data is a piece of
// its own, in the tensor's memory.
func Parts(m message) ([][]byte, error) {
	w := &writer{}
	m.fields(&coder{w: w})
	if w.size > maxMessage {
		return nil, fmt.Errorf("the message takes %d bytes, a protobuf message can have at most %d", w.size, maxMessage)
	}
	return w.flush(), nil
}

// keep is the number of bytes from which on a writer refers to a string instead
// of copying it.
const keep = 1 << 12

// A writer collects the bytes of one message.
type writer struct {
	parts [][]byte
	tail  []byte // what follows the parts
	size  int64  // of parts and tail
}

func (w *writer) flush() [][]byte {
	if len(w.tail) > 0 {
		w.parts = append(w.parts, w.tail)
		w.tail = nil
	}
	return w.parts
}

func (w *writer) tag(num protowire.Number, t protowire.Type) {
	n := len(w.tail)
	w.tail = protowire.AppendTag(w.tail, num, t)
	w.size += int64(len(w.tail) - n)
}

func (w *writer) length(n uint64) {
	w.tail = protowire.AppendVarint(w.tail, n)
	w.size += int64(protowire.SizeVarint(n))
}

func (w *writer) varint(num protowire.Number, v uint64) {
	w.tag(num, protowire.VarintType)
	w.length(v)
}

func (w *writer) fixed32(num protowire.Number, v uint32) {
	w.tag(num, protowire.Fixed32Type)
	w.tail = protowire.AppendFixed32(w.tail, v)
	w.size += 4
}

func (w *writer) bytes(num protowire.Number, s string) {
	w.tag(num, protowire.BytesType)
	w.length(uint64(len(s)))
	w.append(unsafe.Slice(unsafe.StringData(s), len(s)))
}

func (w *writer) append(b []byte) {
	w.size += int64(len(b))
	if len(b) < keep {
		w.tail = append(w.tail, b...)
	} else {
		w.parts = append(w.flush(), b)
	}
}

func (w *writer) message(num protowire.Number, m message) {
	inner := &writer{}
	m.fields(&coder{w: inner})
	w.tag(num, protowire.BytesType)
	w.length(uint64(inner.size))
	for _, b := range inner.flush() {
		w.append(b)
	}
}

// name returns names[i], or the number itself.
func name(names []string, i int) string {
	if i >= 0 && i < len(names) {
		return names[i]
	}
	return strconv.Itoa(i)
}
