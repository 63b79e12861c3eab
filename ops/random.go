package ops

import (
	"fmt"
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	for _, normal := range []bool{true, false} {
		name, least, most := "RandomUniform", "low", "high"
		if normal {
			name, least, most = "RandomNormal", "mean", "scale"
		}
		for _, like := range []bool{false, true} {
			if like {
				name += "Like"
			}
			register(name, 1, func(a *Attrs) graph.Op {
				r := randomNumbers{name: name, normal: normal, like: like, a: a.double(least, 0), b: a.double(most, 1), seed: seedOf(a), shape: a.Ints("shape")}
				if like == a.Has("shape") {
					a.Fail("attribute %q is missing, or given to an operator with an input", "shape")
				}
				if a.Has("dtype") {
					r.dtype = elementType(a, "dtype")
				} else if !like {
					r.dtype = tensor.Float32
				}
				return r
			})
		}
	}
	register("Bernoulli", 15, func(a *Attrs) graph.Op {
		b := bernoulli{seed: seedOf(a)}
		if a.Has("dtype") {
			b.dtype = elementType(a, "dtype")
		}
		return b
	})
	register("Multinomial", 7, func(a *Attrs) graph.Op {
		m := multinomial{samples: a.Int("sample_size", 1), seed: seedOf(a), dtype: tensor.Int32}
		if a.Has("dtype") {
			m.dtype = elementType(a, "dtype")
		}
		if m.samples < 0 || m.dtype != tensor.Int32 && m.dtype != tensor.Int64 {
			a.Fail("%d samples of %v, want at least 0 of int32 or int64", m.samples, m.dtype)
		}
		return m
	})
}

// seed starts a sequence of random numbers. A number depends on the seed and its
// place alone, so that an operator gives the same ones in each run, wherever it
// runs; without a seed it is that of 0.
type seed uint64

func seedOf(a *Attrs) seed {
	if v, ok := a.find("seed"); ok {
		if _, whole := v.(int64); whole { // that of Dropout
			return seed(attr(a, "seed", int64(0)))
		}
	}
	return seed(math.Float32bits(a.Float("seed", 0)))
}

// uniform returns number i, from 0 up to before 1.
//
// Source: G. Steele, D. Lea, C. Flood, Fast splittable pseudorandom number
// generators, 2014 (SplitMix64).
func (s seed) uniform(i int) float64 {
	z := uint64(s)*0xd1342543de82ef95 + uint64(i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	const bits = 53
	return float64((z^z>>31)>>(64-bits)) / (1 << bits)
}

// normal returns number i of the standard normal distribution.
//
// Source: G. Box, M. Muller, A note on the generation of random normal deviates,
// 1958.
func (s seed) normal(i int) float64 {
	return math.Sqrt(-2*math.Log(1-s.uniform(2*i))) * math.Cos(2*math.Pi*s.uniform(2*i+1))
}

// randomNumbers is random numbers: a + b times those of the standard normal
// distribution, or numbers from a to b.
//
//	x: any type, whose shape the result has, or none and the attribute shape
//	y: floating point, by default of x's type
//
// Source: ONNX RandomNormal-1, -22, RandomUniform-1, -22, RandomNormalLike-1, -22,
// RandomUniformLike-1, -22.
type randomNumbers struct {
	name         string
	normal, like bool
	a, b         float64
	seed         seed
	dtype        tensor.DType // Undefined is x's
	shape        tensor.Shape
}

func (r randomNumbers) String() string { return r.name }

func (r randomNumbers) Infer(in []graph.Fact) ([]graph.Fact, error) {
	t := tensor.Type{DType: r.dtype, Shape: r.shape}
	inputs := 0
	if r.like {
		inputs = 1
	}
	if err := checkInputs(in, inputs, inputs); err != nil {
		return nil, err
	}
	if r.like {
		t.Shape = in[0].Shape
		if t.DType == tensor.Undefined {
			t.DType = in[0].DType
		}
	}
	if err := checkType("the result", t.DType, realTypes...); err != nil {
		return nil, err
	}
	t, err := tensor.CheckType(t.DType, t.Shape, graph.DefaultLimit)
	return []graph.Fact{{Type: t}}, err
}

func (randomNumbers) FLOPs(_, out []graph.Fact) int64 { return flops(3*mathWork, out[0].Shape.Elems()) }

func (r randomNumbers) Compile(_, out []graph.Fact) (graph.Kernel, error) {
	return filled(out[0], 3*mathTime, func(i int) float64 {
		if r.normal {
			return r.a + float64(r.b*r.seed.normal(i))
		}
		return r.a + float64((r.b-r.a)*r.seed.uniform(i))
	}), nil
}

// bernoulli is random ones, each with the probability that x has in its place,
// and zeros.
//
//	x: floating point, any shape
//	y: x's shape, a number or bool, by default x's type
//
// Source: ONNX Bernoulli-15, -22.
type bernoulli struct {
	dtype tensor.DType
	seed  seed
}

func (bernoulli) String() string { return "Bernoulli" }

func (b bernoulli) Infer(in []graph.Fact) ([]graph.Fact, error) {
	out, err := inferSame(in, realTypes...)
	if err == nil && b.dtype != tensor.Undefined {
		out[0].DType = b.dtype
		err = checkType("the result", b.dtype, slices.Concat(numericTypes, []tensor.DType{tensor.Bool})...)
	}
	return out, err
}

func (b bernoulli) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	load, store := floatAt(in[0].DType), floatTo(out[0].DType)
	return perElement("generic go", out[0], mathTime, func(in, out []*tensor.Tensor, lo, hi int) error {
		for i := lo; i < hi; i++ {
			v := 0.0
			if b.seed.uniform(i) < load(in[0].Raw, i) {
				v = 1
			}
			store(out[0].Raw, i, v)
		}
		return nil
	}), nil
}

// multinomial draws classes at random, whose probabilities are proportional to
// exp(x).
//
//	x: [N, C] floating point
//	y: [N, samples] i32 or i64
//
// Source: ONNX Multinomial-7, -22.
type multinomial struct {
	samples int
	seed    seed
	dtype   tensor.DType
}

func (multinomial) String() string { return "Multinomial" }

func (m multinomial) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	x := in[0]
	if err := checkType("x", x.DType, realTypes...); err != nil {
		return nil, err
	}
	if len(x.Shape) != 2 || x.Shape[1] == 0 {
		return nil, fmt.Errorf("x has shape %v, want [N C] with classes", x.Shape)
	}
	t, err := tensor.CheckType(m.dtype, tensor.Shape{x.Shape[0], m.samples}, graph.DefaultLimit)
	return []graph.Fact{{Type: t}}, err
}

func (m multinomial) FLOPs(in, _ []graph.Fact) int64 {
	return flops(in[0].Shape[0], in[0].Shape[1]+m.samples*mathWork)
}

func (m multinomial) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	rows, classes := in[0].Shape[0], in[0].Shape[1]
	load, store := floatAt(in[0].DType), floatTo(out[0].DType)
	count := chunks(rows, mathTime*float64(classes+m.samples))
	scratch := classes * tensor.Float64.Size()
	return graph.Kernel{Info: "generic go", Scratch: scratch, Steps: []graph.Step{{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
		sums := tensor.Cast[float64](e.Scratch)[:classes]
		lo, hi := span(rows, count, i, 1)
		for r := lo; r < hi; r++ {
			top, sum := math.Inf(-1), 0.0
			for c := range classes {
				top = max(top, load(in[0].Raw, r*classes+c))
			}
			for c := range classes {
				sum += math.Exp(load(in[0].Raw, r*classes+c) - top)
				sums[c] = sum
			}
			for s := range m.samples {
				at, _ := slices.BinarySearch(sums, sum*m.seed.uniform(r*m.samples+s))
				store(out[0].Raw, r*m.samples+s, float64(min(at, classes-1)))
			}
		}
		return nil
	}}}}, nil
}
