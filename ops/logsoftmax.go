package ops

import (
	"math"

	"scission/ops/internal/vec"
)

// LogSoftmax is ln(softmax(x)), computed as x - max - ln(sum(exp(x - max))); see
// softmax.
//
// Source: ONNX LogSoftmax-1, -11, -13.
func init() {
	registerRows(softmax{name: "LogSoftmax", f32: logSoftmaxF32, f64: logSoftmaxF64, apart: true})
}

func logSoftmaxF32(dst, x []float32) {
	top := vec.Max(x)
	vec.SubScalar(dst, x, top)
	vec.Exp(dst, dst)
	sum := vec.Sum(dst)
	vec.SubScalar(dst, x, top)
	vec.SubScalar(dst, dst, float32(math.Log(float64(sum))))
}

func logSoftmaxF64(dst, x []float64) {
	top, sum := math.Inf(-1), 0.0
	for _, v := range x {
		top = max(top, v)
	}
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	for i, v := range x {
		dst[i] = v - top - math.Log(sum)
	}
}
