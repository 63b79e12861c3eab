package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("NegativeLogLikelihoodLoss", 12, func(a *Attrs) graph.Op { return makeLikelihood(a) })
	register("SoftmaxCrossEntropyLoss", 12, func(a *Attrs) graph.Op {
		loss := makeLikelihood(a)
		return &composition{"SoftmaxCrossEntropyLoss", 2, 3, func(c *composer) []term {
			p := c.op("LogSoftmax", []any{"axis", 1}, c.input(0))
			return []term{c.apply(loss, p, c.input(1), c.input(2)), p}
		}}
	})
}

// likelihood is the loss -x[n, target[n, ...], ...] times the weight of the
// class target[n, ...], or zero where target is the class to ignore.
//
//	x: [N, C, ...] floating point, logarithms of probabilities
//	target: [N, ...] i32 or i64, classes
//	weight: [C] of x's type, optional: of each class, 1 if omitted
//	y: of x's type: with reduction none target's shape; else a scalar, the sum or
//	   the mean, for which it is divided by the sum of the weights of all targets
//
// Sums are taken in float64. A target that is no class is an error of the run,
// unless it is to be ignored.
//
// Source: ONNX NegativeLogLikelihoodLoss-12, -13, -22, SoftmaxCrossEntropyLoss-12,
// -13.
type likelihood struct {
	reduction string
	ignores   bool
	ignored   int64
}

func makeLikelihood(a *Attrs) likelihood {
	l := likelihood{reduction: a.String("reduction", "mean"), ignores: a.Has("ignore_index"), ignored: attr(a, "ignore_index", int64(0))}
	switch l.reduction {
	case "none", "sum", "mean":
	default:
		a.Fail("attribute %q is %q, want none, sum or mean", "reduction", l.reduction)
	}
	return l
}

func (l likelihood) String() string { return "NegativeLogLikelihoodLoss[" + l.reduction + "]" }

func (l likelihood) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(l, d, in)
	}
	if err := checkInputs(in, 2, 3); err != nil {
		return nil, err
	}
	x, target, weight := in[0], in[1], input(in, 2)
	if err := checkType("x", x.DType, floatTypes...); err != nil {
		return nil, err
	}
	if err := checkType("target", target.DType, tensor.Int32, tensor.Int64); err != nil {
		return nil, err
	}
	if err := checkRank(x); err != nil {
		return nil, err
	}
	want := append(tensor.Shape{x.Shape[0]}, x.Shape[2:]...)
	if err := checkShape("target", target, want...); err != nil {
		return nil, err
	}
	if !weight.Missing() {
		if weight.DType != x.DType {
			return nil, fmt.Errorf("weight is %v, want %v", weight.DType, x.DType)
		}
		if err := checkShape("weight", weight, x.Shape[1]); err != nil {
			return nil, err
		}
	}
	if l.reduction != "none" {
		want = tensor.Shape{}
	}
	return []graph.Fact{{Type: tensor.Type{DType: x.DType, Shape: want}}}, nil
}

func (l likelihood) FLOPs(in, _ []graph.Fact) int64 { return flops(3, in[1].Shape.Elems()) }

func (l likelihood) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(l, d, in, out)
	}
	if in[0].DType == tensor.Float64 {
		return likelihoodKernel[float64](l, in), nil
	}
	return likelihoodKernel[float32](l, in), nil
}

func likelihoodKernel[T float32 | float64](l likelihood, in []graph.Fact) graph.Kernel {
	classes, positions, n := in[0].Shape[1], in[0].Shape[2:].Elems(), in[1].Shape.Elems()
	wide := in[1].DType == tensor.Int64
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: 1, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, _ int) error {
		x, y, w := tensor.Cast[T](in[0].Raw), tensor.Cast[T](out[0].Raw), []T(nil)
		if t := operand(in, 2); t != nil {
			w = tensor.Cast[T](t.Raw)
		}
		sum, weights := 0.0, 0.0
		for i := range n {
			class := int64(0)
			if wide {
				class = in[1].I64()[i]
			} else {
				class = int64(tensor.Cast[int32](in[1].Raw)[i])
			}
			loss := T(0)
			switch {
			case l.ignores && class == l.ignored:
			case class < 0 || class >= int64(classes):
				return fmt.Errorf("target %d is %d, want a class from 0 to %d", i, class, classes-1)
			default:
				weight := T(1)
				if w != nil {
					weight = w[class]
				}
				loss = -x[(i/positions*classes+int(class))*positions+i%positions] * weight
				weights += float64(weight)
			}
			sum += float64(loss)
			if l.reduction == "none" {
				y[i] = loss
			}
		}
		switch l.reduction {
		case "mean":
			y[0] = T(sum / weights)
		case "sum":
			y[0] = T(sum)
		}
		return nil
	}}}}
}
