package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/qconv"
)

// quantised is the layout of int8 or uint8 values of shape [N C H W], or
// [N C W] with H = 1, as int16 less zero: [N][ceil(C/lanes)][H][W][lanes].
// Channel c lies in block c/lanes, lane c%lanes.
//
// The lanes of channels that do not exist are zero, always.
type quantised struct {
	lanes int // qconv.Block or qconv.Few
	zero  int32
}

// String names the layout.
func (l quantised) String() string { return fmt.Sprintf("NCHW%dc-int16%+d", l.lanes, -l.zero) }

// elems is the number of elements of a value of the shape s, pad lanes included.
func (l quantised) elems(s tensor.Shape) int {
	n, c, hw := planes(s)
	return n * ceil(c, l.lanes) * l.lanes * hw
}

// Bytes is the size of a value of type t, pad lanes included.
func (l quantised) Bytes(t tensor.Type) int { return 2 * l.elems(t.Shape) }

// Pack converts from row-major.
func (l quantised) Pack(t tensor.Type) graph.Kernel {
	return l.convert("pack "+l.String(), t, func(plain, laid *tensor.Tensor, from, at, hw int) {
		y := tensor.Cast[int16](laid.Raw)
		for p := range hw {
			y[at+p*l.lanes] = int16(elementOf(plain, from+p) - l.zero)
		}
	}, 0, 1)
}

// Unpack converts to row-major.
func (l quantised) Unpack(t tensor.Type) graph.Kernel {
	return l.convert("unpack "+l.String(), t, func(plain, laid *tensor.Tensor, from, at, hw int) {
		x := tensor.Cast[int16](laid.Raw)
		for p := range hw {
			plain.Raw[from+p] = byte(int32(x[at+p*l.lanes]) + l.zero)
		}
	}, 1, 0)
}

// elementOf returns an element of a tensor of bytes.
func elementOf(t *tensor.Tensor, i int) int32 {
	if t.DType == tensor.Int8 {
		return int32(int8(t.Raw[i]))
	}
	return int32(t.Raw[i])
}

// convert returns the kernel that converts a value block by block. channel is
// given one channel of hw elements: where it begins in the row-major and in the
// laid out value, which are operands plain and laid, inputs before outputs.
func (l quantised) convert(info string, t tensor.Type, channel func(plain, laid *tensor.Tensor, from, at, hw int), plain, laid int) graph.Kernel {
	n, c, hw := planes(t.Shape)
	blocks := ceil(c, l.lanes)
	count := chunks(n*blocks, scalarTime*float64(hw*l.lanes))
	return graph.Kernel{Info: info, Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		both := [2]*tensor.Tensor{in[0], out[0]}
		lo, hi := span(n*blocks, count, i, 1)
		for b := lo; b < hi; b++ {
			first := b % blocks * l.lanes
			size := hw * l.lanes
			if laid == 1 {
				clear(tensor.Cast[int16](out[0].Raw)[b*size:][:size])
			}
			for lane := range min(l.lanes, c-first) {
				channel(both[plain], both[laid], (b/blocks*c+first+lane)*hw, b*size+lane, hw)
			}
		}
		return nil
	}}}}
}

// quantisable reports whether a value of type t, which is of bytes or to be
// quantised to them, can lie in the layout quantised.
func quantisable(t tensor.Type) bool {
	t.DType = tensor.Float32
	return blockable(t)
}

// oneScale returns the scale and zero point of an operator that quantises or
// dequantises a value of type x, if they are constants and the only ones, of
// types that int8 kernels take.
func oneScale(in []graph.Fact, bytes tensor.DType) (scale float32, zero int32, ok bool) {
	s, z := in[1], input(in, 2)
	if s.Const == nil || s.DType != tensor.Float32 || s.Shape.Elems() != 1 || len(s.Shape) > 1 {
		return 0, 0, false
	}
	if !z.Missing() {
		if z.Const == nil {
			return 0, 0, false
		}
		zero = zeroAt(z.Const, 0)
	}
	scale = s.Const.F32()[0]
	return scale, zero, (bytes == tensor.Int8 || bytes == tensor.Uint8) && qconv.IsStep(scale)
}

// quantiseLaid is the kernel of QuantizeLinear with one scale that gives the
// layout l: of NCHW16c, or of few channels, row-major.
func quantiseLaid(in, out []graph.Fact, l quantised, scale float32, zero int32) graph.Kernel {
	lo, hi := quantisedRange(out[0].DType)
	q := qconv.NewQuantiser(scale, int(lo-zero), int(hi-zero))
	if l.lanes == lanes {
		n := l.elems(out[0].Shape)
		count := chunks(n, vectorTime)
		return graph.Kernel{Info: qconv.Info(), Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
			from, to := span(n, count, i, lanes)
			q.Quantise(tensor.Cast[int16](out[0].Raw)[from:to], floats(in[0])[from:to])
			return nil
		}}}}
	}
	n, c, hw := planes(out[0].Shape)
	count := chunks(hw, scalarTime*float64(n))
	const at = 1024 // pixels at a time
	return graph.Kernel{Info: qconv.Info(), Scratch: 2 * qconv.Few * at, Steps: []graph.Step{{N: count, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(hw, count, i, lanes)
		scratch := tensor.Cast[int16](x.Scratch)
		for image := range n {
			y := tensor.Cast[int16](out[0].Raw)[image*hw*qconv.Few:]
			for from := lo; from < hi; from += at {
				to := min(from+at, hi)
				for channel := range qconv.Few {
					row := scratch[channel*at:][:to-from]
					if channel >= c {
						clear(row)
						continue
					}
					q.Quantise(row, floats(in[0])[(image*c+channel)*hw+from:][:to-from])
				}
				qconv.Interleave(y[from*qconv.Few:][:(to-from)*qconv.Few], scratch, at)
			}
		}
		return nil
	}}}}
}

// dequantiseLaid is the kernel of DequantizeLinear with one scale from the
// layout quantised to NCHW16c.
func dequantiseLaid(out []graph.Fact, scale float32) graph.Kernel {
	return perElement(qconv.Info(), out[0], vectorTime, func(in, out []*tensor.Tensor, lo, hi int) error {
		qconv.Dequantise(floats(out[0])[lo:hi], tensor.Cast[int16](in[0].Raw)[lo:hi], scale)
		return nil
	})
}
