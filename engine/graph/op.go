package graph

import (
	"errors"
	"fmt"
	"slices"

	"scission/engine/tensor"
)

// Op is an operator with its attributes. It is immutable and may be used by
// several graphs and goroutines at once.
type Op interface {
	// String names the operator with what tells it from others of its kind,
	// such as "Conv[3x3,s2]+Relu", for dumps, tables and errors.
	String() string

	// Infer checks everything that can be wrong with the inputs and returns
	// the types of all outputs that the operator can give. An omitted
	// optional input is a zero Fact; trailing ones may be absent. Where a type
	// depends on the values of an input that is no constant, the error has
	// ErrLate in it.
	Infer(in []Fact) (out []Fact, err error)

	// Compile chooses an implementation for this machine and packs what is
	// constant. The facts have passed Infer. Their Layouts are row-major
	// unless the operator is a Layouter.
	Compile(in, out []Fact) (Kernel, error)
}

// Variadic is an Op whose results depend on how many there are.
type Variadic interface {
	Op
	// Outputs returns the operator for n outputs.
	Outputs(n int) Op
}

// Packer is an Op that has another form for inputs of which some are
// tensor.Packed, such as strings.
type Packer interface {
	Op
	// Packed returns the operator for such inputs.
	Packed() Op
}

// suited returns the operator that op is for inputs of these facts.
func suited(op Op, in []Fact) Op {
	p, ok := op.(Packer)
	if ok && slices.ContainsFunc(in, func(f Fact) bool { return f.DType == tensor.Packed }) {
		return p.Packed()
	}
	return op
}

// Rewriter is an Op that simplifies the graph around itself, such as a
// convolution that takes in the activation behind it. A rewrite keeps every
// result bit for bit as the unfused nodes give it, so that a graph gives the
// same bits wherever it is cut. It depends on nothing but the graph.
type Rewriter interface {
	Op
	// Rewrite changes e's graph around n, whose Op it is, and reports
	// whether it did.
	Rewrite(e *Editor, n *Node) (changed bool, err error)
}

// Fuser is an Op that joins with its neighbours once no Rewriter changes the
// graph any more, on the same terms.
type Fuser interface {
	Op
	// Fuse does what Rewriter.Rewrite does.
	Fuse(e *Editor, n *Node) (changed bool, err error)
}

// Keeper is an Op whose constant operands say more than the constant that Add
// computes from them, such as one that widens weights. Rewrites find them in
// Fact.Made.
type Keeper interface {
	Op
	// KeepsOperands does nothing.
	KeepsOperands()
}

// Joined is an Op whose results must not be taken from the nodes that read
// them: those nodes compute otherwise, and give other bits, where they see the
// Op. A graph is not cut there.
type Joined interface {
	Op
	// JoinsReaders does nothing.
	JoinsReaders()
}

// Layouter is an Op that can work on values in another layout than row-major.
type Layouter interface {
	Op
	// Layouts says in which layouts the operator wants its inputs and gives
	// its outputs, when the inputs lie as in[i].Layout says. The plan
	// converts inputs that lie otherwise. Constants are always row-major.
	// The result must not depend on out[i].Layout.
	Layouts(in, out []Fact) (want, give []Layout)
}

// Exacter is an Op that may compute by a faster way which rounds more than the
// plain one.
type Exacter interface {
	Op
	// Exact returns the operator that computes by the plain way alone.
	Exact() Op
}

// Coster is an Op that knows its arithmetic work.
type Coster interface {
	Op
	// FLOPs is the number of floating-point operations of one run; a
	// multiply-add counts as two.
	FLOPs(in, out []Fact) int64
}

// Layout is a way in which a value can lie in memory other than row-major. Two
// layouts are the same if they are equal under ==.
type Layout interface {
	// String names the layout, such as "NCHW16c".
	String() string
	// Bytes is the size of a value of type t in this layout.
	Bytes(t tensor.Type) int
	// Pack is the kernel that converts one row-major input to this layout.
	Pack(t tensor.Type) Kernel
	// Unpack is the kernel that converts one input in this layout to row-major.
	Unpack(t tensor.Type) Kernel
}

// Bytes is the size of the value in its layout.
func (f Fact) Bytes() int {
	if f.Layout != nil {
		return f.Layout.Bytes(f.Type)
	}
	return f.Type.Bytes()
}

// Kernel is an operator compiled for one machine and one set of types. It is
// immutable; several sessions may run it at once, each with memory of its own.
type Kernel struct {
	// Info names the implementation, such as "direct avx2 6x16".
	Info string
	// Steps are run one after the other.
	Steps []Step
	// Scratch is the number of bytes that each worker needs for itself.
	Scratch int
	// Temp is the number of bytes shared by all workers and steps of a run.
	Temp int
	// InPlace lists inputs whose memory may be the memory of out[0].
	InPlace []int
	// Packed lists constant inputs that the kernel has packed into memory of
	// its own and does not read when it runs: in[j] is nil there.
	Packed []int
	// View says that out[0] is the bytes of in[0] with another shape: there
	// is nothing to run, and Steps is empty.
	View bool
	// Parts, if not nil, says that out[0] is nothing but the bytes of the
	// inputs, each in its layout: input j begins at byte Parts[j]; none is
	// omitted. The plan lets inputs lie there from the start where it can. The
	// steps then leave them alone, and are not run if all inputs lie so.
	Parts []int
	// Call, if not nil, is run instead of Steps and returns the results, in
	// memory of any kind that stays as it is until the next run. It may run the
	// Bodies, and must end with the error that run gives.
	Call func(run Runner, in []*tensor.Tensor) ([]*tensor.Tensor, error)
	// Bodies are the graphs that Call runs; some of their inputs may be late.
	Bodies []*Graph
}

// Runner runs a body of a kernel. It reads the inputs and does not keep them.
// The results are valid until the next run of the same body.
type Runner func(body int, in []*tensor.Tensor) ([]*tensor.Tensor, error)

// Step is a loop whose iterations are independent of each other.
type Step struct {
	// N is the number of iterations.
	N int
	// Do runs iteration i. Different iterations run concurrently, each on a
	// worker of its own. It allocates nothing, keeps nothing and writes only
	// what is its own part of out and x.Temp. in[j] is nil where an optional
	// input is omitted, out[j] where an output is not wanted.
	Do func(x *Exec, in, out []*tensor.Tensor, i int) error
}

// Exec is the memory that a worker has while it runs a step. The contents are
// undefined at the start of a kernel; both parts are aligned to tensor.Align.
type Exec struct {
	Scratch []byte // Kernel.Scratch bytes of this worker alone
	Temp    []byte // Kernel.Temp bytes shared by all workers
}

// Eval compiles op for this machine and runs it once on one goroutine. All of
// in are constants or omitted. The results are tensors of their own; out has
// their types, and is not read if the operator's kernel has a Call.
func Eval(op Op, in, out []Fact) ([]*tensor.Tensor, error) {
	k, err := op.Compile(in, out)
	if err != nil {
		return nil, err
	}
	ins := make([]*tensor.Tensor, len(in))
	for i, f := range in {
		ins[i] = f.Const
	}
	if k.Call != nil {
		return k.Call(func(body int, in []*tensor.Tensor) ([]*tensor.Tensor, error) { return Interpret(k.Bodies[body], in) }, ins)
	}
	outs := make([]*tensor.Tensor, len(out))
	for i, f := range out {
		outs[i] = tensor.New(f.DType, f.Shape...)
	}
	if k.View {
		outs[0].Raw = ins[0].Raw
		return outs, nil
	}
	x := &Exec{Scratch: tensor.Alloc(k.Scratch), Temp: tensor.Alloc(k.Temp)}
	for _, s := range k.Steps {
		for i := range s.N {
			if err := s.Do(x, ins, outs, i); err != nil {
				return nil, err
			}
		}
	}
	return outs, nil
}

// Interpret runs a graph node by node as Eval does: the plainest way there is,
// for tests, and for what is run once. The results are tensors of their own,
// constants or inputs.
func Interpret(g *Graph, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	have := map[*Value]*tensor.Tensor{}
	for i, v := range g.Inputs {
		have[v] = in[i]
	}
	get := func(v *Value) *tensor.Tensor {
		if v.Const != nil {
			return v.Const
		}
		return have[v]
	}
	for _, n := range g.Nodes {
		facts := make([]Fact, len(n.In))
		for i, v := range n.In {
			if v != nil {
				t := get(v)
				facts[i] = Fact{Type: t.Type, Const: t}
			}
		}
		ts, err := g.apply(n.Op, facts)
		if err != nil {
			return nil, fmt.Errorf("node %q (%s): %w", n.Name, n.Op, err)
		}
		for i, v := range n.Out {
			if v != nil {
				have[v] = ts[i]
			}
		}
	}
	out := make([]*tensor.Tensor, len(g.Outputs))
	for i, v := range g.Outputs {
		out[i] = get(v)
	}
	return out, nil
}

// Apply runs an operator once on one goroutine, as Eval does, for inputs of any
// kind; one that is omitted is nil. The results are tensors of their own or
// inputs. Each takes at most limit bytes if its type is known before the run; 0
// means DefaultLimit.
func Apply(op Op, limit int, in ...*tensor.Tensor) ([]*tensor.Tensor, error) {
	facts := make([]Fact, len(in))
	for i, t := range in {
		if t != nil {
			facts[i] = Fact{Type: t.Type, Const: t}
		}
	}
	ts, err := (&Graph{Limit: limit}).apply(op, facts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return ts, nil
}

// apply runs an operator for constants, within g.Limit.
func (g *Graph) apply(op Op, in []Fact) ([]*tensor.Tensor, error) {
	op = suited(op, in)
	out, err := op.Infer(in)
	if err != nil && !errors.Is(err, ErrLate) {
		return nil, err
	}
	if err := g.checkLimit(out); err != nil {
		return nil, err
	}
	return Eval(op, in, out)
}
