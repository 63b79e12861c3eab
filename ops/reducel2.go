package ops

import "math"

// ReduceL2 is the root of the sum of the squares; see reduce. It is computed in
// float64, of which integers drop the fraction. That of none is 0.
//
// Source: ONNX ReduceL2-1, -11, -13, -18.
func init() { registerReduction("ReduceL2", true, allInFloat64(0, addSquare, math.Sqrt)) }
