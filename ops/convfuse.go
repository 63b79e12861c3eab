package ops

import (
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// Rewrite absorbs one neighbour of the convolution n: a Pad of zeros or, if it
// is depthwise, an activation such as Relu in front, or behind it a BatchNormalization, an Add or Mul of one constant for each
// channel, an Add of another value of the same shape (a residual), or a
// clamping activation. What is absorbed is calculated in this order, so that
// the result is bit for bit that of the separate nodes; what does not fit the
// order stays as it is.
func (c *convolution) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	if c.absorbPad(e, n) || c.absorbFloor(e, n) {
		return true, nil
	}
	user := e.OnlyUser(n.Out[0])
	if user == nil || n.Out[0].DType != tensor.Float32 || c.clamped {
		return false, nil
	}
	in := make([]*graph.Value, convInputs)
	copy(in, n.In)
	next := *c
	next.absorbed = append(slices.Clone(c.absorbed), user.Op.String())
	switch op := user.Op.(type) {
	case batchNormalization:
		scale, shift, ok := op.factors(graph.Facts(user.In))
		if !ok || c.scaled || c.residual || user.In[0] != n.Out[0] {
			return false, nil
		}
		next.scaled, next.absorbed[len(c.absorbed)] = true, "BN"+op.clamp
		next.clamped, next.lo, next.hi = op.clamped, op.lo, op.hi
		in[convScale], in[convShift] = constants(n, scale, shift)
	case binary:
		if !next.absorbBinary(e, n, user, op, in) {
			return false, nil
		}
	case clamper:
		lo, hi, ok := op.bounds(graph.Facts(user.In))
		if !ok || user.In[0] != n.Out[0] || (lo > 0 || hi < 0) && c.padsChannels(n) {
			return false, nil
		}
		next.clamped, next.lo, next.hi = true, lo, hi
	default:
		return false, nil
	}
	if next.scaled && !c.scaled {
		a, _ := c.choose(graph.Facts(n.In), graph.Facts(n.Out))
		if a.losesSigns() && !all(in[convShift], func(v float32) bool { return v != 0 || !math.Signbit(float64(v)) }) {
			return false, nil
		}
	}
	e.Absorb(n, user, &next, in)
	return true, nil
}

// padsChannels reports whether n's kernel takes pad lanes of the result for
// channels, which bounds would make something else than zero of.
func (c *convolution) padsChannels(n *graph.Node) bool {
	_, s := c.choose(graph.Facts(n.In), graph.Facts(n.Out))
	return s.OC > n.Out[0].Shape[1]
}

// absorbBinary lets c, a copy of n's operator, calculate op, the operator of
// user, with in as its inputs; it reports whether that can be.
func (c *convolution) absorbBinary(e *graph.Editor, n, user *graph.Node, op binary, in []*graph.Value) bool {
	y := n.Out[0]
	other := user.In[0]
	if other == y {
		other = user.In[1]
	}
	if c.residual || !user.Out[0].Shape.Equal(y.Shape) || op.op != opAdd && op.op != opMul {
		return false
	}
	c.clamped, c.lo, c.hi = op.clamped, op.lo, op.hi
	if values := channelValues(other.Fact, y.Shape); values != nil {
		if c.scaled {
			return false
		}
		scale, shift := make([]float32, len(values)), make([]float32, len(values))
		for i, v := range values {
			scale[i], shift[i] = op.scaleShift(v, 0)
		}
		c.scaled = true
		in[convScale], in[convShift] = constants(n, scale, shift)
		return true
	}
	// The later of two convolutions takes the other's result as its residual.
	p := e.Producer(other)
	if op.op != opAdd || other.Const != nil || !other.Type.Equal(y.Type) || p != nil && !e.Before(p, n) {
		return false
	}
	c.residual = true
	in[convResidual] = other
	return true
}

// constants returns scale and shift as inputs for n.
func constants(n *graph.Node, scale, shift []float32) (a, b *graph.Value) {
	return graph.Constant(n.Name+".scale", tensor.Of(scale, len(scale))),
		graph.Constant(n.Name+".shift", tensor.Of(shift, len(shift)))
}

// absorbPad lets n do the padding of the node that gives its input.
func (c *convolution) absorbPad(e *graph.Editor, n *graph.Node) bool {
	p := e.Producer(n.In[convX])
	if p == nil || c.window.autoPad != "NOTSET" && c.window.autoPad != "VALID" || c.floored && c.floor > 0 || c.part != nil {
		return false
	}
	op, ok := p.Op.(pad)
	if !ok {
		return false
	}
	before, behind, ok := op.spatialZeros(graph.Facts(p.In))
	if !ok || slices.Min(before) < 0 || slices.Min(behind) < 0 {
		return false
	}
	next := *c
	rank := len(before)
	next.window.autoPad, next.window.pads = "NOTSET", append(before, behind...)
	if c.window.autoPad == "NOTSET" && c.window.pads != nil {
		if len(c.window.pads) != 2*rank {
			return false
		}
		for i, v := range c.window.pads {
			next.window.pads[i] += v
		}
	}
	in := slices.Clone(n.In)
	in[convX] = p.In[0]
	out, err := next.Infer(graph.Facts(in))
	if err != nil || !out[0].Type.Equal(n.Out[0].Type) {
		return false
	}
	was, _ := c.choose(graph.Facts(n.In), out)
	is, _ := next.choose(graph.Facts(in), out)
	if was != is || !next.paddingIsZeros(is, in) {
		return false
	}
	next.absorbed = append(slices.Clone(c.absorbed), "Pad")
	e.Set(n, &next, in)
	return true
}

// absorbFloor lets n, a depthwise convolution, raise what it reads to the lower
// bound of the activation that gives its input, and read the input of that. It
// is for activations whose results nothing but such convolutions reads, and
// which the node in front of them does not absorb.
func (c *convolution) absorbFloor(e *graph.Editor, n *graph.Node) bool {
	x := n.In[convX]
	p := e.Producer(x)
	if p == nil || c.floored || e.IsOutput(x) {
		return false
	}
	op, ok := p.Op.(clamper)
	if !ok {
		return false
	}
	lo, hi, ok := op.bounds(graph.Facts(p.In))
	if !ok || hi != inf {
		return false
	}
	if before := e.Producer(p.In[0]); before != nil && e.OnlyUser(p.In[0]) == p {
		switch before.Op.(type) {
		case *convolution, batchNormalization:
			return false
		}
	}
	in := slices.Clone(n.In)
	in[convX] = p.In[0]
	for _, u := range e.Users(x) {
		if len(u.Out) == 1 && len(e.Users(u.Out[0])) == 0 && !e.IsOutput(u.Out[0]) {
			continue // a Pad that has been absorbed
		}
		d, ok := u.Op.(*convolution)
		if !ok || d.floored || slices.Contains(u.In[convX+1:], x) {
			return false
		}
		facts := graph.Facts(u.In)
		facts[convX] = in[convX].Fact
		if a, _ := d.choose(facts, graph.Facts(u.Out)); a != depthwise {
			return false
		}
	}
	next := *c
	next.floored, next.floor, next.before = true, lo, op.String()
	e.Set(n, &next, in)
	return true
}

// paddingIsZeros reports whether the convolution gives the same bits for its
// own padding as for zeros in x. Packages conv and winograd calculate with
// zeros; the other algorithms leave the products out, which are zeros if the weights are finite
// and change at most the sign of a sum that is zero. That sign is lost: see
// losesSigns.
func (c *convolution) paddingIsZeros(a algorithm, in []*graph.Value) bool {
	w := in[convW]
	return a == stem || a == direct || a == fast || w.DType == tensor.Float32 && w.Const != nil && all(w, isFinite)
}

// losesSigns reports whether the algorithm must not tell -0 from 0 in its sums:
// they have another sign where products of padding are left out. It adds 0 to
// each sum, which makes a -0 a 0; a shift that it has absorbed does the same
// unless it is -0 itself.
func (a algorithm) losesSigns() bool { return a == depthwise || a == generic }

// all reports whether every element of the constant v is as f says.
func all(v *graph.Value, f func(float32) bool) bool {
	return !slices.ContainsFunc(v.Const.F32(), func(x float32) bool { return !f(x) })
}

func isFinite(v float32) bool { return v-v == 0 }

// spatialZeros returns how many zeros p adds before and behind each spatial
// dimension, if that is all it does; less than none are elements that it takes
// away.
func (p pad) spatialZeros(in []graph.Fact) (before, behind []int, ok bool) {
	all, err := p.extents(in)
	if err != nil || p.mode != padConstant || len(all) < 3 || math.Float32bits(p.value) != 0 {
		return nil, nil, false
	}
	if v := input(in, 2); !v.Missing() && !allZero(v) {
		return nil, nil, false
	}
	for i, e := range all {
		n := in[0].Shape[i]
		if i >= 2 {
			before, behind = append(before, e.before-e.skip), append(behind, e.behind-(n-e.skip-e.keep))
		} else if e != (extent{keep: n}) {
			return nil, nil, false
		}
	}
	return before, behind, true
}
