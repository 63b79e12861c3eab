package ops

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Scan", 8, func(a *Attrs) graph.Op {
		s := makeScan(a)
		s.batched = true
		s.backIn = a.Ints("directions")
		return s
	})
	register("Scan", 9, func(a *Attrs) graph.Op {
		s := makeScan(a)
		s.axesIn, s.axesOut = a.Ints("scan_input_axes"), a.Ints("scan_output_axes")
		s.backIn, s.backOut = a.Ints("scan_input_directions"), a.Ints("scan_output_directions")
		return s
	})
}

func makeScan(a *Attrs) scan {
	s := scan{body: a.Body("body"), sequences: a.Int("num_scan_inputs", 0)}
	if s.sequences < 1 {
		a.Fail("attribute %q is %d, want at least 1", "num_scan_inputs", s.sequences)
	}
	return s
}

// scan runs a graph on the slices of sequences one after the other, with a state.
//
//	lengths: [N] i64, optional, of each sequence of the batch; Scan-8 alone
//	states: any number of values of any type
//	sequences: at least one; all have as many slices along their axes
//	body: (states..., slices...) gives (states..., slices...); the states keep
//	      their types
//	results: the last states, then the slices put together along their axes
//
// A direction of 1 goes through the slices backwards. In Scan-8 everything has a
// batch as dimension 0, and the slices of sequences and results are along
// dimension 1; behind the length of a sequence, the results are zero.
//
// Source: ONNX Scan-8, -9, -11, -16, -19, -21, -23, -24, -25.
type scan struct {
	body            *graph.Body
	sequences       int
	axesIn, axesOut []int
	backIn, backOut []int
	batched         bool
}

func (scan) String() string { return "Scan" }

func (s scan) Bodies() []*graph.Body { return []*graph.Body{s.body} }

// scanPlan is a scan for inputs of certain types.
type scanPlan struct {
	first         int // number of inputs before the states
	states        int
	batch, length int // batch is 1 if there is none
	part          part
	in, out       []slab        // of each sequence and each result but states
	slices        []tensor.Type // of each sequence
	types         []graph.Fact  // of the body's results
}

// slab says where the slices of a tensor lie that has n of them along a dimension.
type slab struct {
	outer, n, row int // row is in bytes
	back          bool
}

func newSlab(t tensor.Type, axis int, back bool) slab {
	return slab{t.Shape[:axis].Elems(), t.Shape[axis], t.Shape[axis+1:].Elems() * t.DType.Size(), back}
}

// at calls f with the places of the pieces of slice i of n, in the tensor and in
// the slice.
func (s slab) at(i, n int, f func(whole, slice int)) {
	if s.back {
		i = n - 1 - i
	}
	for o := range s.outer {
		f((o*s.n+i)*s.row, o*s.row)
	}
}

// listed returns element i of an attribute with one number for each of n, or 0
// if it is not given.
func listed(list []int, i, n int, name string) (int, error) {
	if list == nil {
		return 0, nil
	}
	if len(list) != n {
		return 0, fmt.Errorf("attribute %q has %d numbers, want %d", name, len(list), n)
	}
	return list[i], nil
}

func direction(list []int, i, n int, name string) (back bool, err error) {
	d, err := listed(list, i, n, name)
	if err == nil && d != 0 && d != 1 {
		err = fmt.Errorf("attribute %q has %d, want 0 or 1", name, d)
	}
	return d == 1, err
}

func (s scan) plan(in []graph.Fact) (p scanPlan, err error) {
	own, captured, err := checkBodyInputs(in, s.body)
	if err != nil {
		return p, err
	}
	if err := checkInputs(own, 0, len(own)); err != nil {
		return p, err
	}
	p.batch, p.length = 1, -1
	if s.batched {
		p.first = 1
	}
	p.states = len(own) - p.first - s.sequences
	results := s.body.Graph.Outputs
	if p.states < 0 || s.body.Given != p.states+s.sequences || len(results) < p.states {
		return p, fmt.Errorf("got %d inputs for a graph with %d inputs and %d outputs and %d sequences", len(own), s.body.Given, len(results), s.sequences)
	}
	if slices.ContainsFunc(own[p.first:], graph.Fact.Missing) {
		return p, fmt.Errorf("a state or a sequence is missing")
	}
	lead := 0 // dimensions of the batch
	if s.batched {
		lead = 1
		for i, f := range own[1:] {
			if len(f.Shape) < 1 || i > 0 && f.Shape[0] != p.batch {
				return p, fmt.Errorf("input %d has shape %v, want a batch of %d first", i+1, f.Shape, p.batch)
			}
			p.batch = f.Shape[0]
		}
		if f := own[0]; !f.Missing() && (f.DType != tensor.Int64 || !f.Shape.Equal(tensor.Shape{p.batch})) {
			return p, fmt.Errorf("sequence_lens is %v, want int64[%d]", f.Type, p.batch)
		}
	}
	one := func(f graph.Fact) tensor.Type { return tensor.Type{DType: f.DType, Shape: f.Shape[lead:]} }
	var facts []graph.Fact
	for _, f := range own[p.first : p.first+p.states] {
		facts = append(facts, graph.Fact{Type: one(f)})
	}
	for i, f := range own[p.first+p.states:] {
		t := one(f)
		d, err := listed(s.axesIn, i, s.sequences, "scan_input_axes")
		if err == nil {
			d, err = axis(d, len(t.Shape))
		}
		if err != nil {
			return p, err
		}
		back, err := direction(s.backIn, i, s.sequences, "scan_input_directions")
		if err != nil {
			return p, err
		}
		if p.length >= 0 && t.Shape[d] != p.length {
			return p, fmt.Errorf("sequence %d has %d slices, want %d as those before", i, t.Shape[d], p.length)
		}
		p.length = t.Shape[d]
		p.in = append(p.in, newSlab(t, d, back))
		t.Shape = slices.Delete(t.Shape.Clone(), d, d+1)
		p.slices = append(p.slices, t)
		facts = append(facts, graph.Fact{Type: t})
	}
	if p.part, err = buildBody(s.body, append(facts, captured...)); err != nil {
		return p, err
	}
	if p.types, err = p.part.results(); err != nil {
		return p, fmt.Errorf("%w: %v", ErrUnsupported, err)
	}
	for i := range p.states {
		if !p.types[i].Type.Equal(facts[i].Type) {
			return p, fmt.Errorf("state %d becomes %v, want %v", i, p.types[i].Type, facts[i].Type)
		}
	}
	n := len(p.types) - p.states
	for i, f := range p.types[p.states:] {
		d, err := listed(s.axesOut, i, n, "scan_output_axes")
		if err == nil {
			d, err = axis(d, len(f.Shape)+1)
		}
		if err != nil {
			return p, err
		}
		back, err := direction(s.backOut, i, n, "scan_output_directions")
		if err != nil {
			return p, err
		}
		p.types[p.states+i].Shape = slices.Insert(f.Shape.Clone(), d, p.length)
		p.out = append(p.out, slab{f.Shape[:d].Elems(), p.length, f.Shape[d:].Elems() * f.DType.Size(), back})
	}
	return p, nil
}

func (s scan) Infer(in []graph.Fact) ([]graph.Fact, error) {
	p, err := s.plan(in)
	if err != nil {
		return nil, err
	}
	out := anything(p.types)
	if s.batched {
		for i := range out {
			out[i].Shape = append(tensor.Shape{p.batch}, out[i].Shape...)
		}
	}
	return out, nil
}

func (s scan) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	p, err := s.plan(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	call := func(run graph.Runner, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
		results := make([]*tensor.Tensor, len(out))
		for i, f := range out {
			results[i] = tensor.New(f.DType, f.Shape...)
		}
		for b := range p.batch {
			length := p.length
			if s.batched && in[0] != nil {
				n := in[0].I64()[b]
				if n < 0 || n > int64(p.length) {
					return nil, fmt.Errorf("length %d is %d, want 0 to %d", b, n, p.length)
				}
				length = int(n)
			}
			if err := p.run(run, in[p.first:], results, b, length); err != nil {
				return nil, err
			}
		}
		return results, nil
	}
	return graph.Kernel{Info: "scan", Bodies: []*graph.Graph{p.part.graph}, Call: call}, nil
}

// run runs the body on the first length slices of element b of the batch. in
// begins with the states.
func (p *scanPlan) run(run graph.Runner, in, results []*tensor.Tensor, b, length int) error {
	all := slices.Clone(in)
	bytes := func(t *tensor.Tensor) []byte {
		n := len(t.Raw) / p.batch
		return t.Raw[b*n : (b+1)*n]
	}
	for i := range p.states {
		// The states stay in the results' memory.
		t := &tensor.Tensor{Type: p.types[i].Type, Raw: bytes(results[i])}
		copy(t.Raw, bytes(in[i]))
		all[i] = t
	}
	for i, t := range p.slices {
		all[p.states+i] = tensor.New(t.DType, t.Shape...)
	}
	for n := range length {
		for i, s := range p.in {
			x, y := bytes(in[p.states+i]), all[p.states+i].Raw
			s.at(n, length, func(whole, slice int) { copy(y[slice:slice+s.row], x[whole:]) })
		}
		outs, err := run(0, p.part.inputs(all))
		if err != nil {
			return err
		}
		for i, s := range p.out {
			x, y := outs[p.states+i].Raw, bytes(results[p.states+i])
			s.at(n, length, func(whole, slice int) { copy(y[whole:whole+s.row], x[slice:]) })
		}
		for i := range p.states {
			copy(all[i].Raw, outs[i].Raw)
		}
	}
	return nil
}
