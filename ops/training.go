package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// registerTraining adds an operator of ONNX's preview of training, which has one
// version.
func registerTraining(name string, make func(a *Attrs) graph.Op) {
	registry[key{"ai.onnx.preview.training", name}] = []definition{{1, make}}
}

func init() {
	registerTraining("Adagrad", func(a *Attrs) graph.Op {
		decay, epsilon, norm := a.double("decay_factor", 0), a.double("epsilon", 1e-6), a.double("norm_coefficient", 0)
		return optimizer{"Adagrad", 1, func(rate float64, count int64, x, gradient float64, state []float64) float64 {
			g := norm*x + gradient
			state[0] += g * g
			return x - rate/(1+float64(count)*decay)*g/(math.Sqrt(state[0])+epsilon)
		}}
	})
	registerTraining("Adam", func(a *Attrs) graph.Op {
		alpha, beta, epsilon := a.double("alpha", 0.9), a.double("beta", 0.999), a.double("epsilon", 1e-6)
		norm, post := a.double("norm_coefficient", 0), a.double("norm_coefficient_post", 0)
		return optimizer{"Adam", 2, func(rate float64, count int64, x, gradient float64, state []float64) float64 {
			g := norm*x + gradient
			state[0] = alpha*state[0] + (1-alpha)*g
			state[1] = beta*state[1] + (1-beta)*g*g
			if count > 0 {
				rate *= math.Sqrt(1-math.Pow(beta, float64(count))) / (1 - math.Pow(alpha, float64(count)))
			}
			return (1 - post) * (x - rate*state[0]/(math.Sqrt(state[1])+epsilon))
		}}
	})
	registerTraining("Momentum", func(a *Attrs) graph.Op {
		for _, name := range []string{"alpha", "beta", "norm_coefficient", "mode"} {
			if !a.Has(name) {
				a.Fail("attribute %q is missing", name)
			}
		}
		alpha, beta, norm, mode := a.double("alpha", 0), a.double("beta", 0), a.double("norm_coefficient", 0), a.String("mode", "")
		if mode != "standard" && mode != "nesterov" {
			a.Fail("attribute %q is %q, want standard or nesterov", "mode", mode)
		}
		return optimizer{"Momentum", 1, func(rate float64, count int64, x, gradient float64, state []float64) float64 {
			g, part := norm*x+gradient, beta
			if count == 0 {
				part = 1
			}
			state[0] = alpha*state[0] + part*g
			if mode == "nesterov" {
				return x - rate*(g+alpha*state[0])
			}
			return x - rate*state[0]
		}}
	})
}

// double is Float in float64.
func (a *Attrs) double(name string, missing float32) float64 {
	return float64(a.Float(name, missing))
}

// optimizer is one step of the training of any number of tensors: Adagrad, Adam
// and Momentum.
//
//	rate: one f32 or f64; count: one i64, how many steps came before
//	x...: f32 or f64, what is trained; gradient...: of the same types
//	states...: of the same types, first those of all x, then the next of all
//	results: the new x..., then the new states...
//
// A step is computed in float64 and rounded.
//
// Source: ai.onnx.preview.training Adagrad-1, Adam-1, Momentum-1.
type optimizer struct {
	name   string
	states int // of each x
	// step returns the new x and changes the states.
	step func(rate float64, count int64, x, gradient float64, state []float64) float64
}

func (o optimizer) String() string { return o.name }

// trained returns how many tensors are trained.
func (o optimizer) trained(in []graph.Fact) (int, error) {
	n := (len(in) - 2) / (2 + o.states)
	if n < 1 || len(in) != 2+n*(2+o.states) {
		return 0, fmt.Errorf("got %d inputs, want 2 and %d for each tensor", len(in), 2+o.states)
	}
	return n, checkInputs(in, len(in), len(in))
}

func (o optimizer) Infer(in []graph.Fact) ([]graph.Fact, error) {
	n, err := o.trained(in)
	if err != nil {
		return nil, err
	}
	if err := checkType("the rate", in[0].DType, floatTypes...); err != nil {
		return nil, err
	}
	if in[0].Shape.Elems() != 1 || in[1].DType != tensor.Int64 || in[1].Shape.Elems() != 1 {
		return nil, fmt.Errorf("the rate is %v and the count %v, want one number and one int64", in[0].Type, in[1].Type)
	}
	var out []graph.Fact
	for i, f := range in[2:] {
		x := in[2+i%n]
		if err := checkType("x", x.DType, floatTypes...); err != nil {
			return nil, err
		}
		if !f.Type.Equal(x.Type) {
			return nil, fmt.Errorf("input %d is %v, want %v", 2+i, f.Type, x.Type)
		}
		if i/n != 1 { // no gradient
			out = append(out, graph.Fact{Type: x.Type})
		}
	}
	return out, nil
}

func (o optimizer) FLOPs(in, _ []graph.Fact) int64 {
	work := 0.0
	for _, f := range in {
		work += float64(flops(mathWork, f.Shape.Elems()))
	}
	return int64(min(work, math.MaxInt64/2))
}

func (o optimizer) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	n, err := o.trained(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	k := graph.Kernel{Info: "generic go", Scratch: o.states * tensor.Float64.Size()}
	for i := range n {
		if in[2+i].DType == tensor.Float64 {
			k.Steps = append(k.Steps, optimizerStep[float64](o, i, n, in[2+i].Shape.Elems()))
		} else {
			k.Steps = append(k.Steps, optimizerStep[float32](o, i, n, in[2+i].Shape.Elems()))
		}
	}
	return k, nil
}

// optimizerStep trains tensor which of n, of so many elements.
func optimizerStep[T float32 | float64](o optimizer, which, n, elems int) graph.Step {
	count := chunks(elems, 4*mathTime)
	return graph.Step{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
		rate := 0.0
		if in[0].DType == tensor.Float64 {
			rate = tensor.View[float64](in[0])[0]
		} else {
			rate = float64(in[0].F32()[0])
		}
		state := tensor.Cast[float64](e.Scratch)[:o.states]
		x, g := tensor.Cast[T](in[2+which].Raw), tensor.Cast[T](in[2+n+which].Raw)
		lo, hi := span(elems, count, i, tensor.Align)
		for j := lo; j < hi; j++ {
			for s := range o.states {
				state[s] = float64(tensor.Cast[T](in[2+(2+s)*n+which].Raw)[j])
			}
			v := o.step(rate, in[1].I64()[0], float64(x[j]), float64(g[j]), state)
			if y := operand(out, which); y != nil {
				tensor.Cast[T](y.Raw)[j] = T(v)
			}
			for s := range o.states {
				if y := operand(out, (1+s)*n+which); y != nil {
					tensor.Cast[T](y.Raw)[j] = T(state[s])
				}
			}
		}
		return nil
	}}
}
