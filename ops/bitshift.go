package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

// BitShift is z = a shifted by b bits to the direction LEFT or RIGHT, for
// unsigned integers; see pairing. Shifted by its width or more, a is 0.
//
// Source: ONNX BitShift-11.
func init() {
	register("BitShift", 11, func(a *Attrs) graph.Op {
		types := []tensor.DType{tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64}
		switch direction := a.String("direction", ""); direction {
		case "LEFT":
			return bitwise("BitShift[left]", types, func(a, b uint64) uint64 { return a << b })
		case "RIGHT":
			return bitwise("BitShift[right]", types, func(a, b uint64) uint64 { return a >> b })
		default:
			a.Fail("attribute %q is %q, want LEFT or RIGHT", "direction", direction)
		}
		return nil
	})
}
