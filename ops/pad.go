package ops

import (
	"fmt"
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Pad", 2, func(a *Attrs) graph.Op {
		if !a.Has("pads") {
			a.Fail("attribute %q is missing", "pads")
		}
		return pad{mode: padModeOf(a), attr: a.Ints("pads"), value: a.Float("value", 0)}
	})
	register("Pad", 11, func(a *Attrs) graph.Op { return pad{mode: padModeOf(a), input: true} })
}

// pad is x with values before and behind it in every dimension, or with some
// taken away where a length is negative.
//
//	x, y: any type, any shape (until opset 10 floating point)
//	pads: what to add before each of axes, then what to add behind each; an
//	      attribute until opset 10, then constant input 1
//	constant_value: what to add in the mode "constant", 0 if omitted; the
//	      attribute value until opset 10, then the scalar input 2
//	axes: since opset 18 the constant input 3; all dimensions if omitted
//	mode: "constant"; "edge": the outermost element; "reflect": the mirror
//	      image, the outermost element being the mirror; since opset 19
//	      "wrap": as if x were repeated
//
// What is taken away is taken first, so that the modes see only the rest.
//
// Source: ONNX Pad-2, -11, -13, -18, -19, -21, -23, -24, -25; numpy.pad.
type pad struct {
	mode  padMode
	input bool // pads and value are inputs
	attr  []int
	value float32
	rows  *extent // of dimension 2 in place of what pads say, see Tile
}

type padMode string

const (
	padConstant padMode = "constant"
	padEdge     padMode = "edge"
	padReflect  padMode = "reflect"
	padWrap     padMode = "wrap"
)

func padModeOf(a *Attrs) padMode {
	m, modes := padMode(a.String("mode", string(padConstant))), []padMode{padConstant, padReflect, padEdge}
	if a.Version() >= 19 {
		modes = append(modes, padWrap)
	}
	if !slices.Contains(modes, m) {
		a.Fail("%w mode %q, want one of %q", ErrUnsupported, m, modes)
	}
	return m
}

func (p pad) String() string { return fmt.Sprintf("Pad[%s]", p.mode) }

// extent is what happens to one dimension.
type extent struct {
	skip   int // elements of x that are taken away before the rest
	keep   int // elements of x that are kept
	before int // elements that are added before them
	behind int
}

func (e extent) out() int { return e.before + e.keep + e.behind }

// extents returns what happens to each dimension of x.
func (p pad) extents(in []graph.Fact) ([]extent, error) {
	x := in[0].Shape
	pads, axes := p.attr, make([]int, len(x))
	for i := range axes {
		axes[i] = i
	}
	if p.input {
		var err error
		if pads, err = integers(in[1], "pads"); err != nil {
			return nil, err
		}
		if f := input(in, 3); !f.Missing() {
			if axes, err = integers(f, "axes"); err != nil {
				return nil, err
			}
		}
	}
	if len(pads) != 2*len(axes) {
		return nil, fmt.Errorf("got %d pads, want %d for %d axes of x%v", len(pads), 2*len(axes), len(axes), x)
	}
	if _, err := axisSet(axes, len(x)); err != nil {
		return nil, err
	}
	all := make([]extent, len(x))
	for i, n := range x {
		all[i].keep = n
	}
	for i, a := range axes {
		d, err := axis(a, len(x))
		if err != nil {
			return nil, err
		}
		before, behind, n := pads[i], pads[i+len(axes)], x[d]
		if p.rows != nil && d == 2 {
			continue
		}
		if behind < -n || min(before, 0)+n < -min(behind, 0) {
			return nil, fmt.Errorf("pads %d and %d take more than dimension %d of x%v has", before, behind, d, x)
		}
		skip, drop := -min(before, 0), -min(behind, 0)
		e := extent{skip, n - skip - drop, max(before, 0), max(behind, 0)}
		sum, err := total(e.before, e.keep, e.behind)
		if err != nil {
			return nil, fmt.Errorf("pads of dimension %d: %w", d, err)
		}
		if p.mode != padConstant && e.keep == 0 && sum > 0 {
			return nil, fmt.Errorf("mode %q has no element to fill dimension %d of x%v with", p.mode, d, x)
		}
		all[d] = e
	}
	if p.rows != nil {
		all[2] = *p.rows
	}
	return all, nil
}

// Tile pads rows at the upper and the lower end only.
func (p pad) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	all, err := p.extents(in)
	if err != nil || p.mode != padConstant || len(all) != 4 {
		return graph.Tile{}, false
	}
	e := all[2]
	kept := graph.Rows{From: max(rows.From, e.before), To: min(rows.To, e.before+e.keep)}
	if kept.Empty() {
		return graph.Tile{}, false
	}
	t := graph.Tile{Reads: make([]graph.Rows, len(in)), Makes: rows, Good: rows}
	for i, f := range in {
		if !f.Missing() {
			t.Reads[i] = graph.All(f.Type)
		}
	}
	t.Reads[0] = graph.Rows{From: e.skip + kept.From - e.before, To: e.skip + kept.To - e.before}
	p.rows = &extent{keep: kept.Len(), before: kept.From - rows.From, behind: rows.To - kept.To}
	t.Op = p
	return t, true
}

func (p pad) Infer(in []graph.Fact) ([]graph.Fact, error) {
	need, most := 1, 1
	if p.input {
		need, most = 2, 4
	}
	if err := checkInputs(in, need, most); err != nil {
		return nil, err
	}
	x := in[0]
	if !p.input && !x.DType.IsFloat() {
		return nil, fmt.Errorf("x is %v, want a floating-point type", x.DType)
	}
	if v := input(in, 2); !v.Missing() && (v.DType != x.DType || v.Shape.Elems() != 1) {
		return nil, fmt.Errorf("constant_value is %v, want a scalar of type %v", v.Type, x.DType)
	}
	all, err := p.extents(in)
	if err != nil {
		return nil, err
	}
	shape := make(tensor.Shape, len(all))
	for i, e := range all {
		shape[i] = e.out()
	}
	return []graph.Fact{{Type: tensor.Type{DType: x.DType, Shape: shape}}}, nil
}

// Layouts keeps NCHW16c if the channels stay as they are and the pad lanes
// stay zero.
func (p pad) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	want, give = make([]graph.Layout, len(in)), make([]graph.Layout, len(out))
	all, err := p.extents(in)
	if err != nil || in[0].Layout != (nchw16c{}) || !blockable(out[0].Type) {
		return want, give
	}
	c, v := in[0].Shape[1], input(in, 2)
	zero := p.mode != padConstant || math.Float32bits(p.value) == 0 && (v.Missing() || allZero(v))
	if all[1] == (extent{keep: c}) && (zero || fullBlocks(in[0].Shape)) {
		want[0], give[0] = nchw16c{}, nchw16c{}
	}
	return want, give
}

func (p pad) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	all, err := p.extents(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	last := -1 // the innermost dimension that changes
	for i, e := range all {
		if e != (extent{keep: in[0].Shape[i]}) {
			last = i
		}
	}
	switch {
	case last < 0:
		return view, nil
	case out[0].Bytes() == 0:
		return graph.Kernel{Info: "empty"}, nil
	}
	x, y := stored(in[0]), stored(out[0])
	if in[0].Layout != nil {
		all[1].keep = x[1]
	}
	k := padKernel{
		mode:  p.mode,
		dims:  all[:last+1],
		in:    x[:last+1],
		unit:  y[last+1:].Elems() * out[0].DType.Size(),
		value: encode(p.value, out[0].DType),
	}
	rows := y[:last].Elems()
	row := all[last].out() * k.unit
	count := chunks(rows, moveTime*float64(row))
	return graph.Kernel{Info: string(p.mode), Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		value := k.value
		if v := operand(in, 2); v != nil {
			value = v.Raw
		}
		lo, hi := span(rows, count, i, 1)
		for r := lo; r < hi; r++ {
			k.row(out[0].Raw[r*row:(r+1)*row], in[0].Raw, value, r)
		}
		return nil
	}}}}, nil
}

// encode returns the bytes of v in a floating-point type, or of 0 in any type.
func encode(v float32, d tensor.DType) []byte {
	switch {
	case math.Float32bits(v) == 0:
		return make([]byte, d.Size())
	case d == tensor.Float64:
		return tensor.Scalar(float64(v)).Raw
	case d == tensor.Float16:
		return tensor.Scalar(tensor.Float32ToFloat16(v)).Raw
	case d == tensor.BFloat16:
		return tensor.Scalar(tensor.Float32ToBFloat16(v)).Raw
	}
	return tensor.Scalar(v).Raw
}

// padKernel pads an array of units of bytes.
type padKernel struct {
	mode  padMode
	dims  []extent
	in    []int  // dimensions of x
	unit  int    // bytes
	value []byte // one element, unless it is an input
}

// row computes row r of the output: the units at one place of all dimensions
// but the last.
func (k *padKernel) row(y, x, value []byte, r int) {
	last := len(k.dims) - 1
	from, stride := 0, 1
	for d := last - 1; d >= 0; d-- {
		e := k.dims[d]
		q := r / e.out()
		i := k.source(r-q*e.out(), e)
		if i < 0 {
			repeat(y, value)
			return
		}
		from, stride, r = from+i*stride, stride*k.in[d], q
	}
	e := k.dims[last]
	x = x[from*k.in[last]*k.unit:]
	start, end := e.before*k.unit, (e.before+e.keep)*k.unit
	copy(y[start:end], x[e.skip*k.unit:])
	if k.mode == padConstant {
		repeat(y[:start], value)
		repeat(y[end:], value)
		return
	}
	for o := 0; o < e.out(); o++ {
		if o == e.before {
			o += e.keep
			if o == e.out() {
				return
			}
		}
		copy(y[o*k.unit:(o+1)*k.unit], x[k.source(o, e)*k.unit:])
	}
}

// source returns the place in x that place o of a dimension of y repeats, or
// -1 if it is one to fill with the value.
func (k *padKernel) source(o int, e extent) int {
	i, n := o-e.before, e.keep
	if i >= 0 && i < n {
		return e.skip + i
	}
	switch k.mode {
	case padEdge:
		i = min(max(i, 0), n-1)
	case padWrap:
		if i %= n; i < 0 {
			i += n
		}
	case padReflect:
		// The mirror images repeat with this period.
		period := 2 * uint(max(n-1, 1))
		u := uint(max(i, -i)) % period
		i = int(min(u, period-u))
		if n == 1 {
			i = 0
		}
	default:
		return -1
	}
	return e.skip + i
}

// Rewrite removes the node if it changes nothing, and merges those alike.
func (p pad) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	all, err := p.extents(graph.Facts(n.In))
	if err != nil {
		return false, err
	}
	for i, x := range all {
		if x != (extent{keep: n.In[0].Shape[i]}) {
			return p.input && mergeAlike(e, n), nil
		}
	}
	return bypass(e, n), nil
}
