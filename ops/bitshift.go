package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

// BitShift is z = a shifted by b bits to the direction LEFT or RIGHT, for
// integers; see pairing. Shifted by its width or more, or by less than nothing, a is
// 0, or -1 if it is negative and shifted to the right, which keeps the sign.
//
// Source: ONNX BitShift-11, -28.
func init() {
	shift := func(types []tensor.DType) func(a *Attrs) graph.Op {
		return func(a *Attrs) graph.Op {
			switch direction := a.String("direction", ""); direction {
			case "LEFT":
				return bitwise("BitShift[left]", types, func(a, b uint64) uint64 { return a << b })
			case "RIGHT":
				return pairing{"BitShift[right]", types, false, shiftRight}
			default:
				a.Fail("attribute %q is %q, want LEFT or RIGHT", "direction", direction)
			}
			return nil
		}
	}
	register("BitShift", 11, shift([]tensor.DType{tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64}))
	register("BitShift", 28, shift(integerTypes))
}

func shiftRight(d tensor.DType, out graph.Fact, w broadcast) graph.Kernel {
	switch d {
	case tensor.Int8:
		return pairKernel(out, w, func(a, b int8) int8 { return a >> uint8(b) })
	case tensor.Int16:
		return pairKernel(out, w, func(a, b int16) int16 { return a >> uint16(b) })
	case tensor.Int32:
		return pairKernel(out, w, func(a, b int32) int32 { return a >> uint32(b) })
	case tensor.Int64:
		return pairKernel(out, w, func(a, b int64) int64 { return a >> uint64(b) })
	}
	return bitwise("", nil, func(a, b uint64) uint64 { return a >> b }).kernel(d, out, w)
}
