package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("MaxRoiPool", 1, func(a *Attrs) graph.Op {
		r := maxRoiPool{scale: a.Float("spatial_scale", 1)}
		s := a.Ints("pooled_shape")
		if len(s) != 2 || s[0] < 1 || s[1] < 1 {
			a.Fail("attribute %q is %v, want 2 positive numbers", "pooled_shape", s)
			return r
		}
		r.height, r.width = s[0], s[1]
		return r
	})
}

// regionWidth is the number of values of a region.
const regionWidth = 5

// maxRoiPool is the largest element of each bin of regions of images. A region
// reaches from the element nearest to its first corner times scale to that nearest
// to its last one, and its bins overlap where they do not end between elements; one
// without elements is 0.
//
//	x: [N C H W] floating point
//	regions: [R 5] x's type: the image, and x and y of two corners
//	y: [R C height width]
//
// Source: ONNX MaxRoiPool-1, -22; the rounding is as in ONNX Runtime.
type maxRoiPool struct {
	height, width int
	scale         float32
}

func (r maxRoiPool) String() string { return fmt.Sprintf("MaxRoiPool[%dx%d]", r.height, r.width) }

func (r maxRoiPool) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if d := halfType(in); d.Valid() {
		return inferHalf(r, d, in)
	}
	if err := checkType("x", in[0].DType, floatTypes...); err != nil {
		return nil, err
	}
	x, n := in[0].Shape, 0
	if len(in[1].Shape) > 0 {
		n = in[1].Shape[0]
	}
	if len(x) != 4 || in[1].DType != in[0].DType {
		return nil, fmt.Errorf("got x %v and regions %v, want [N C H W] and [R 5] of x's type", in[0].Type, in[1].Type)
	}
	if err := checkShape("regions", in[1], n, regionWidth); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: tensor.Shape{n, x[1], r.height, r.width}}}}, nil
}

func (r maxRoiPool) FLOPs(in, out []graph.Fact) int64 {
	return flops(in[1].Shape[0], in[0].Shape[1:].Elems())
}

func (r maxRoiPool) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(r, d, in, out)
	}
	if in[0].DType == tensor.Float64 {
		return maxRoiKernel[float64](r, in, out), nil
	}
	return maxRoiKernel[float32](r, in, out), nil
}

func maxRoiKernel[T float32 | float64](r maxRoiPool, in, out []graph.Fact) graph.Kernel {
	x := in[0].Shape
	images, channels, h, w := x[0], x[1], x[2], x[3]
	all := out[0].Shape[0] * channels
	count := chunks(all, scalarTime*float64(h*w))
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		src, dst := tensor.View[T](in[0]), tensor.View[T](out[0])
		lo, hi := span(all, count, i, 1)
		for p := lo; p < hi; p++ {
			region := tensor.View[T](in[1])[p/channels*regionWidth:][:regionWidth]
			image := float64(region[0])
			if !(image >= 0 && image < float64(images)) {
				return fmt.Errorf("region %d is of image %v, want one of %d", p/channels, image, images)
			}
			plane := src[(int(image)*channels+p%channels)*h*w:][:h*w]
			for b := range r.height * r.width {
				top, bottom := r.bin(float64(region[2]), float64(region[4]), b/r.width, r.height, h)
				left, right := r.bin(float64(region[1]), float64(region[3]), b%r.width, r.width, w)
				best := T(0)
				if top < bottom && left < right {
					best = T(math.Inf(-1))
				}
				for y := top; y < bottom; y++ {
					for _, v := range plane[y*w:][left:max(left, right)] {
						best = max(best, v)
					}
				}
				dst[p*r.height*r.width+b] = best
			}
		}
		return nil
	}}}}
}

// bin returns the elements of n that bin i of the bins between two corners has.
func (r maxRoiPool) bin(from, to float64, i, bins, n int) (start, end int) {
	scaled := func(v float64) float64 { return math.Round(float64(float32(v) * r.scale)) }
	first := scaled(from)
	size := max(scaled(to)-first+1, 1) / float64(bins)
	within := func(v float64) int {
		if !(v > 0) {
			return 0
		}
		return int(min(v, float64(n)))
	}
	return within(math.Floor(float64(i)*size) + first), within(math.Ceil(float64(i+1)*size) + first)
}
