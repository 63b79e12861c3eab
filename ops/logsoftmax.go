package ops

import (
	"math"

	"scission/ops/internal/vec"
)

// LogSoftmax is ln(softmax(x)), computed as x - max - ln(sum(exp(x - max))); see
// softmax.
//
// Source: ONNX LogSoftmax-1, -11, -13.
func init() { registerRows("LogSoftmax", logSoftmaxF32, logSoftmaxF64) }

// logSoftmaxF32 takes the logarithm of a sum of at most logBlock exponentials
// at a time in float32, and of those in float64.
func logSoftmaxF32(dst, x []float32) {
	var e [logBlock]float32
	top, sum := vec.Max(x), 0.0
	for at := 0; at < len(x); at += logBlock {
		part := e[:min(logBlock, len(x)-at)]
		vec.SubScalar(part, x[at:], top)
		vec.Exp(part, part)
		sum += float64(vec.Sum(part))
	}
	vec.SubScalar(dst, x, top)
	vec.SubScalar(dst, dst, float32(math.Log(sum)))
}

const logBlock = 256

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
