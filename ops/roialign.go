package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("RoiAlign", 10, func(a *Attrs) graph.Op { return makeRoiAlign(a) })
	register("RoiAlign", 16, func(a *Attrs) graph.Op {
		r := makeRoiAlign(a)
		switch mode := a.String("coordinate_transformation_mode", "half_pixel"); mode {
		case "half_pixel":
			r.half = true
		case "output_half_pixel":
		default:
			a.Fail("attribute %q is %q, want half_pixel or output_half_pixel", "coordinate_transformation_mode", mode)
		}
		return r
	})
}

func makeRoiAlign(a *Attrs) roiAlign {
	r := roiAlign{height: a.Int("output_height", 1), width: a.Int("output_width", 1), samples: a.Int("sampling_ratio", 0), scale: a.Float("spatial_scale", 1)}
	switch mode := a.String("mode", "avg"); mode {
	case "avg":
	case "max":
		r.largest = true
	default:
		a.Fail("attribute %q is %q, want avg or max", "mode", mode)
	}
	if r.height < 1 || r.width < 1 || r.samples < 0 || r.samples > maxRoiSamples {
		a.Fail("output %d x %d with %d samples, want at least 1 x 1 and 0 to %d", r.height, r.width, r.samples, maxRoiSamples)
	}
	return r
}

// maxRoiSamples bounds the samples of a bin in each dimension.
const maxRoiSamples = 1 << 10

// roiAlign pools regions of images into bins: the mean of samples in each bin, or
// the largest of what the four elements around each sample contribute.
//
//	x: [N, C, H, W] floating point
//	regions: [R, 4] x's type, x and y of two corners, times scale
//	images: [R] i64, the image of each region
//	y: [R, C, height, width]
//
// Source: ONNX RoiAlign-10, -16, -22; the maximum is as in ONNX Runtime and in
// ONNX's reference.
type roiAlign struct {
	height, width, samples int // samples is 0 for as many as the bin has elements
	scale                  float32
	largest, half          bool
}

func (r roiAlign) String() string { return fmt.Sprintf("RoiAlign[%dx%d]", r.height, r.width) }

func (r roiAlign) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(r, d, in)
	}
	if err := checkInputs(in, 3, 3); err != nil {
		return nil, err
	}
	if err := checkType("x", in[0].DType, floatTypes...); err != nil {
		return nil, err
	}
	x, n := in[0].Shape, 0
	if len(in[1].Shape) > 0 {
		n = in[1].Shape[0]
	}
	if len(x) != 4 || x[2] == 0 || x[3] == 0 || in[1].DType != in[0].DType || in[2].DType != tensor.Int64 {
		return nil, fmt.Errorf("got x %v, regions %v and images %v, want [N C H W], [R 4] of x's type and int64[R]", in[0].Type, in[1].Type, in[2].Type)
	}
	if err := checkShape("regions", in[1], n, 4); err != nil {
		return nil, err
	}
	if err := checkShape("images", in[2], n); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: tensor.Shape{n, x[1], r.height, r.width}}}}, nil
}

func (r roiAlign) FLOPs(in, out []graph.Fact) int64 {
	each := r.samples * r.samples
	if each == 0 {
		each = in[0].Shape[2:].Elems()
	}
	const sample = 8 // operations
	return flops(out[0].Shape.Elems(), each, sample)
}

func (r roiAlign) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(r, d, in, out)
	}
	if in[0].DType == tensor.Float64 {
		return roiKernel[float64](r, in, out), nil
	}
	return roiKernel[float32](r, in, out), nil
}

// bins are those of a region in one dimension.
type bins struct {
	start, size float64
	samples     int
}

func (r roiAlign) bins(from, to float64, n int) (bins, error) {
	offset := 0.0
	if r.half {
		offset = 0.5
	}
	start, end := from*float64(r.scale)-offset, to*float64(r.scale)-offset
	length := end - start
	if !r.half {
		length = max(length, 1)
	}
	b := bins{start, length / float64(n), r.samples}
	if r.samples == 0 {
		s := math.Ceil(b.size)
		if !(s <= maxRoiSamples) {
			return b, fmt.Errorf("a bin of a region has %v samples, want at most %d", s, maxRoiSamples)
		}
		b.samples = int(max(s, 0))
	}
	return b, nil
}

// sample returns the two elements around sample k of bin i and the weight of the
// second one; in is false outside of the image.
func (b bins) sample(i, k, n int) (lo, hi int, t float64, in bool) {
	v := b.start + float64(i)*b.size + (float64(k)+0.5)*b.size/float64(b.samples)
	if !(v >= -1 && v <= float64(n)) {
		return 0, 0, 0, false
	}
	v = max(v, 0)
	if lo = int(v); lo >= n-1 {
		return n - 1, n - 1, 0, true
	}
	return lo, lo + 1, v - float64(lo), true
}

func roiKernel[T float32 | float64](r roiAlign, in, out []graph.Fact) graph.Kernel {
	x := in[0].Shape
	h, w, channels := x[2], x[3], x[1]
	all := in[1].Shape[0] * channels
	count := chunks(all, mathTime*float64(r.height*r.width))
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		src, regions, dst := tensor.View[T](in[0]), tensor.View[T](in[1]), tensor.View[T](out[0])
		lo, hi := span(all, count, i, 1)
		for p := lo; p < hi; p++ {
			at := regions[p/channels*4:][:4]
			image, err := indexAt(in[2], p/channels, x[0])
			if err != nil {
				return err
			}
			across, err := r.bins(float64(at[0]), float64(at[2]), r.width)
			if err != nil {
				return err
			}
			down, err := r.bins(float64(at[1]), float64(at[3]), r.height)
			if err != nil {
				return err
			}
			plane := src[(image*channels+p%channels)*h*w:][:h*w]
			for b := range r.height * r.width {
				dst[p*r.height*r.width+b] = T(pooled(plane, w, h, down, across, b/r.width, b%r.width, r.largest))
			}
		}
		return nil
	}}}}
}

// pooled is the value of bin (i, j).
func pooled[T float32 | float64](plane []T, w, h int, down, across bins, i, j int, largest bool) float64 {
	sum, best := 0.0, math.Inf(-1)
	for k := range down.samples {
		y0, y1, ty, inY := down.sample(i, k, h)
		for l := range across.samples {
			x0, x1, tx, inX := across.sample(j, l, w)
			if !inX || !inY {
				best = max(best, 0)
				continue
			}
			a, b := (1-ty)*(1-tx)*float64(plane[y0*w+x0]), (1-ty)*tx*float64(plane[y0*w+x1])
			c, d := ty*(1-tx)*float64(plane[y1*w+x0]), ty*tx*float64(plane[y1*w+x1])
			sum += a + b + c + d
			best = max(best, a, b, c, d)
		}
	}
	n := down.samples * across.samples
	switch {
	case n == 0:
		return 0
	case largest:
		return best
	}
	return sum / float64(n)
}
