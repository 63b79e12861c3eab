package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	modes := func(a *Attrs, names map[string]int, missing string) graph.Op {
		g := gridSample{align: a.Int("align_corners", 0) != 0, padding: a.String("padding_mode", "zeros")}
		mode := a.String("mode", missing)
		var ok bool
		if g.taps, ok = names[mode]; !ok {
			a.Fail("%w mode %q", ErrUnsupported, mode)
		}
		switch g.padding {
		case "zeros", "border", "reflection":
		default:
			a.Fail("attribute %q is %q, want zeros, border or reflection", "padding_mode", g.padding)
		}
		return g
	}
	register("GridSample", 16, func(a *Attrs) graph.Op {
		return modes(a, map[string]int{"nearest": 1, "bilinear": 2, "bicubic": 4}, "bilinear")
	})
	register("GridSample", 20, func(a *Attrs) graph.Op {
		return modes(a, map[string]int{"nearest": 1, "linear": 2, "cubic": 4}, "linear")
	})
}

// gridSample reads x at the places of a grid, between elements by the nearest
// one, linearly, or by the cubic convolution of 4 elements in each dimension.
//
//	x: [N, C, D1, ..., Dr] floating point
//	grid: [N, E1, ..., Er, r] floating point, coordinates from -1 to 1, the last
//	      dimension's first; -1 and 1 are the centers of the corner elements
//	      with align_corners, else their outer edges
//	y: [N, C, E1, ..., Er]
//
// What lies outside is zero, the nearest element, or that of x reflected at its
// ends.
//
// Source: ONNX GridSample-16, -20, -22.
type gridSample struct {
	taps    int // elements read in each dimension
	align   bool
	padding string
}

func (g gridSample) String() string { return fmt.Sprintf("GridSample[%d,%s]", g.taps, g.padding) }

func (g gridSample) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if m := mixed(g, in, 0); m != nil {
		return m.Infer(in)
	}
	if d := halfType(in); d.Valid() {
		return inferHalf(g, d, in)
	}
	if err := checkType("x", in[0].DType, floatTypes...); err != nil {
		return nil, err
	}
	x, grid := in[0].Shape, in[1].Shape
	r := len(x) - 2
	const most = 3 // dimensions, so that the elements read for one stay few
	if in[1].DType != in[0].DType || r < 1 || r > most || len(grid) != r+2 || grid[r+1] != r || grid[0] != x[0] {
		return nil, fmt.Errorf("got x %v and grid %v, want [N C D...] with 1 to %d dimensions D and [N E... r] of the same type", in[0].Type, in[1].Type, most)
	}
	for _, d := range x[2:] {
		if d == 0 {
			return nil, fmt.Errorf("x%v has no elements to read", x)
		}
	}
	shape := append(x[:2].Clone(), grid[1:r+1]...)
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: shape}}}, nil
}

func (g gridSample) FLOPs(in, out []graph.Fact) int64 {
	taps := 1
	for range in[0].Shape[2:] {
		taps *= g.taps
	}
	return flops(out[0].Shape.Elems(), 2*taps)
}

// farOut bounds coordinates, far outside of any x.
const farOut = 1 << 40

// read returns the elements and weights for a coordinate of a dimension of length
// n; an element of -1 is outside.
func (g gridSample) read(coordinate float64, n int, at *[4]int, weight *[4]float64) {
	length := float64(n)
	v := ((coordinate+1)*length - 1) / 2
	if g.align {
		v = (coordinate + 1) / 2 * (length - 1)
	}
	if !(math.Abs(v) < farOut) {
		v = math.Copysign(farOut, v)
	}
	first := math.Floor(v)
	t := v - first
	switch g.taps {
	case 1:
		first, weight[0] = math.RoundToEven(v), 1
	case 2:
		weight[0], weight[1] = 1-t, t
	default:
		first--
		*weight = cubicWeights(t)
	}
	for k := range g.taps {
		at[k] = g.inside(first+float64(k), n)
	}
}

// cubicWeights are those of the elements at -1, 0, 1 and 2 for a place t from 0
// to 1.
//
// Source: R. Keys, Cubic convolution interpolation for digital image processing,
// 1981, with a = -0.75.
func cubicWeights(t float64) [4]float64 {
	const a = -0.75
	near := func(d float64) float64 { return ((a+2)*d-(a+3))*d*d + 1 }
	far := func(d float64) float64 { return ((a*d-5*a)*d+8*a)*d - 4*a }
	return [4]float64{far(t + 1), near(t), near(1 - t), far(2 - t)}
}

// inside returns the element of a dimension that stands for place v.
func (g gridSample) inside(v float64, n int) int {
	if v >= 0 && v < float64(n) {
		return int(v)
	}
	switch g.padding {
	case "zeros":
		return -1
	case "border":
		return int(max(0, min(v, float64(n-1))))
	}
	lo, hi := -0.5, float64(n)-0.5
	if g.align {
		lo, hi = 0, float64(n-1)
	}
	period := hi - lo
	if period == 0 {
		return 0
	}
	r := math.Mod(math.Abs(v-lo), 2*period)
	if r > period {
		r = 2*period - r
	}
	return min(int(lo+r), n-1)
}

func (g gridSample) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if m := mixed(g, in, 0); m != nil {
		return m.Compile(in, out)
	}
	if d := halfType(in); d.Valid() {
		return compileHalf(g, d, in, out)
	}
	if in[0].DType == tensor.Float64 {
		return sampleKernel[float64](g, in, out), nil
	}
	return sampleKernel[float32](g, in, out), nil
}

func sampleKernel[T float32 | float64](g gridSample, in, out []graph.Fact) graph.Kernel {
	x := in[0].Shape
	r, channels, plane := len(x)-2, x[1], x[2:].Elems()
	points := out[0].Shape[2:].Elems() // of an image
	taps := 1
	for range r {
		taps *= g.taps
	}
	all := x[0] * points
	count := chunks(all, scalarTime*float64(taps*channels))
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		src, grid, dst := tensor.View[T](in[0]), tensor.View[T](in[1]), tensor.View[T](out[0])
		var at [3][4]int
		var weight [3][4]float64
		lo, hi := span(all, count, i, 1)
		for p := lo; p < hi; p++ {
			for d := range r {
				// The grid has the last dimension's coordinate first.
				g.read(float64(grid[p*r+r-1-d]), x[2+d], &at[d], &weight[d])
			}
			image, point := p/points, p%points
			for c := range channels {
				base, sum := (image*channels+c)*plane, 0.0
				for t := range taps {
					place, w, rest := 0, 1.0, t
					for d := range r {
						k := rest % g.taps
						rest /= g.taps
						if at[d][k] < 0 {
							w, place = 0, -1
							break
						}
						place = place*x[2+d] + at[d][k]
						w *= weight[d][k]
					}
					if place >= 0 {
						sum += float64(w * float64(src[base+place]))
					}
				}
				dst[(image*channels+c)*points+point] = T(sum)
			}
		}
		return nil
	}}}}
}
