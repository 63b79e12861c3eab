package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/vec"
)

func init() {
	register("BatchNormalization", 7, func(a *Attrs) graph.Op {
		if a.Int("spatial", 1) != 1 {
			a.Fail("%w attribute spatial 0", ErrUnsupported)
		}
		return newBatchNormalization(a)
	})
	register("BatchNormalization", 9, newBatchNormalization)
	register("BatchNormalization", 14, func(a *Attrs) graph.Op {
		if a.Int("training_mode", 0) != 0 {
			return batchTraining{a.double("epsilon", 1e-5), a.double("momentum", 0.9)}
		}
		return newBatchNormalization(a)
	})
}

func newBatchNormalization(a *Attrs) graph.Op {
	a.Float("momentum", 0) // of training
	return batchNormalization{epsilon: float64(a.Float("epsilon", 1e-5))}
}

// batchNormalization is y = x*scale + shift with a scale and a shift for each
// channel that make up (x - mean) / sqrt(variance + epsilon) * gamma + beta.
// They are calculated in float64 and rounded once. It may have absorbed the
// limits of an activation behind it, bit for bit as the separate nodes give it.
//
//	x, y:                        [N C ...] floating point, any layout
//	gamma, beta, mean, variance: [C] floating point
//
// Source: ONNX BatchNormalization-7, -9, -14, -15, inference.
type batchNormalization struct {
	epsilon float64
	limits
}

func (b batchNormalization) String() string { return "BatchNormalization" + b.clamp }

// Rewrite absorbs a clamping activation that keeps zeros.
func (b batchNormalization) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	user, l, ok := b.absorbClamp(e, n)
	if !ok {
		return false, nil
	}
	b.limits = l
	e.Absorb(n, user, b, n.In)
	return true, nil
}

func (b batchNormalization) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if m := mixed(b, in, 0); m != nil {
		return m.Infer(in)
	}
	if d := halfType(in); d.Valid() {
		return inferHalf(b, d, in)
	}
	if err := checkInputs(in, 5, 5); err != nil {
		return nil, err
	}
	x := in[0]
	if err := checkType("x", x.DType, floatTypes...); err != nil {
		return nil, err
	}
	if len(x.Shape) < 2 {
		return nil, fmt.Errorf("x has shape %v, want at least 2 dimensions", x.Shape)
	}
	for i, name := range []string{"scale", "bias", "mean", "variance"} {
		f := in[i+1]
		if err := checkShape(name, f, x.Shape[1]); err != nil {
			return nil, err
		}
		if f.DType != x.DType {
			return nil, fmt.Errorf("%w: %s is %v and x is %v, want one type", ErrUnsupported, name, f.DType, x.DType)
		}
	}
	return []graph.Fact{{Type: x.Type}}, nil
}

func (b batchNormalization) FLOPs(in, out []graph.Fact) int64 {
	return flops(b.flops(2), out[0].Shape.Elems())
}

func (b batchNormalization) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	if mixed(b, in, 0) != nil {
		return make([]graph.Layout, len(in)), make([]graph.Layout, len(out))
	}
	return sameLayouts(in, out, true)
}

// Tile computes rows from the same rows of the inputs.
func (b batchNormalization) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	return tileRows(b, in, out, rows)
}

// factor returns scale and shift of one channel.
func (b batchNormalization) factor(gamma, beta, mean, variance float64) (scale, shift float64) {
	scale = gamma / math.Sqrt(variance+b.epsilon)
	return scale, beta - float64(mean*scale)
}

// factors returns scale and shift of all channels if they are known before any
// run and float32.
func (b batchNormalization) factors(in []graph.Fact) (scale, shift []float32, ok bool) {
	var p [4][]float32
	for i, f := range in[1:] {
		if f.Const == nil || f.DType != tensor.Float32 {
			return nil, nil, false
		}
		p[i] = f.Const.F32()
	}
	n := len(p[0])
	scale, shift = make([]float32, n), make([]float32, n)
	b.fill(scale, shift, p[0], p[1], p[2], p[3])
	return scale, shift, true
}

// fill calculates all factors. No shift is -0, so that a convolution can absorb
// it: see losesSigns.
func (b batchNormalization) fill(scale, shift, gamma, beta, mean, variance []float32) {
	for i := range gamma {
		s, t := b.factor(float64(gamma[i]), float64(beta[i]), float64(mean[i]), float64(variance[i]))
		scale[i], shift[i] = float32(s), float32(t)+0
	}
}

func (b batchNormalization) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if m := mixed(b, in, 0); m != nil {
		return m.Compile(in, out)
	}
	if d := halfType(in); d.Valid() {
		return compileHalf(b, d, in, out)
	}
	if out[0].DType == tensor.Float64 {
		return b.kernel64(out[0]), nil
	}
	n, c, size := planes(out[0].Shape)
	width := 1 // channels of a block
	if out[0].Layout != nil {
		width = lanes
	}
	perImage := ceil(c, width)
	blocks := n * perImage
	count := chunks(blocks, vectorTime*float64(width*size)+rowTime)
	scales, shifts, known := b.factors(in)
	if known {
		scales, shifts = pad16(scales), pad16(shifts)
	}
	k := graph.Kernel{Info: "vector", InPlace: []int{0}}
	if known {
		k.Packed = []int{1, 2, 3, 4}
	} else {
		k.Temp = 2 * 4 * ceil(c, lanes) * lanes
		k.Steps = append(k.Steps, graph.Step{N: 1, Do: func(x *graph.Exec, in, _ []*tensor.Tensor, _ int) error {
			all := tensor.Cast[float32](x.Temp)
			clear(all)
			b.fill(all, all[len(all)/2:], in[1].F32(), in[2].F32(), in[3].F32(), in[4].F32())
			return nil
		}})
	}
	k.Steps = append(k.Steps, graph.Step{N: count, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
		scales, shifts := scales, shifts
		if !known {
			all := tensor.Cast[float32](x.Temp)
			scales, shifts = all[:len(all)/2], all[len(all)/2:]
		}
		src, dst := floats(in[0]), floats(out[0])
		lo, hi := span(blocks, count, i, 1)
		for j := lo; j < hi; j++ {
			s, d := src[j*width*size:][:width*size], dst[j*width*size:][:width*size]
			at := j % perImage * width
			if width == lanes {
				b.scaleShift16(d, s, scales[at:][:lanes], shifts[at:][:lanes])
				continue
			}
			for len(s) > 0 {
				piece := min(len(s), pieceLen)
				vec.ScaleShift(d[:piece], s[:piece], scales[at], shifts[at])
				b.limit(d[:piece])
				d, s = d[piece:], s[piece:]
			}
		}
		return nil
	}})
	return k, nil
}

// pad16 returns s with zeros behind it up to a multiple of lanes.
func pad16(s []float32) []float32 {
	p := make([]float32, ceil(len(s), lanes)*lanes)
	copy(p, s)
	return p
}

func (b batchNormalization) kernel64(out graph.Fact) graph.Kernel {
	_, c, size := planes(out.Shape)
	return perElement("generic go", out, 2*scalarTime, func(in, out []*tensor.Tensor, lo, hi int) error {
		x, y := tensor.View[float64](in[0]), tensor.View[float64](out[0])
		p := [4][]float64{}
		for i := range p {
			p[i] = tensor.View[float64](in[i+1])
		}
		for lo < hi {
			ch := lo / size % c
			end := min(hi, (lo/size+1)*size)
			scale, shift := b.factor(p[0][ch], p[1][ch], p[2][ch], p[3][ch])
			for ; lo < end; lo++ {
				y[lo] = float64(x[lo]*scale) + shift
			}
		}
		return nil
	})
}
