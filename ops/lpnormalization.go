package ops

import (
	"math"

	"scission/engine/graph"
)

func init() {
	register("LpNormalization", 1, func(a *Attrs) graph.Op {
		p := a.Int("p", 2)
		if p != 1 && p != 2 {
			a.Fail("attribute %q is %d, want 1 or 2", "p", p)
		}
		return softmax{name: "LpNormalization", axis: a.Int("axis", -1), f32: lpNormalize[float32](p), f64: lpNormalize[float64](p)}
	})
}

// lpNormalize returns the function that divides a row by its L1 or L2 norm, and
// makes zeros of one whose norm is 0; see softmax.
//
// Source: ONNX LpNormalization-1, -22.
func lpNormalize[T float32 | float64](p int) func(dst, x []T) {
	return func(dst, x []T) {
		norm := 0.0
		for _, v := range x {
			if p == 1 {
				norm += math.Abs(float64(v))
			} else {
				norm += float64(v) * float64(v)
			}
		}
		if p == 2 {
			norm = math.Sqrt(norm)
		}
		for i, v := range x {
			dst[i] = 0
			if norm != 0 {
				dst[i] = T(float64(v) / norm)
			}
		}
	}
}
