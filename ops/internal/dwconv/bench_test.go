package dwconv

import (
	"fmt"
	"math"
	"testing"

	"scission/ops/internal/conv"
	"scission/ops/internal/isa"
	"scission/ops/internal/kerneltest"
)

// BenchmarkLayers runs the depthwise layers of MobileNetV2, and some of 5x5, on one thread with memory that is warm.
// The rate counts the taps of the padding too, as everybody does.
func BenchmarkLayers(b *testing.B) {
	for i := range implementations {
		impl := &implementations[i]
		b.Run(impl.String(), func(b *testing.B) {
			if !isa.Have(impl.level) {
				b.Skipf("this machine has no %s", impl.level)
			}
			for _, c := range []struct{ channels, size, kernel, stride int }{
				{32, 112, 3, 1}, {96, 112, 3, 2}, {144, 56, 3, 1}, {144, 56, 3, 2}, {192, 28, 3, 1}, {192, 28, 3, 2},
				{384, 14, 3, 1}, {576, 14, 3, 1}, {576, 14, 3, 2}, {960, 7, 3, 1}, {240, 28, 5, 1}, {672, 14, 5, 1}, {1152, 7, 5, 1},
			} {
				b.Run(fmt.Sprintf("%dx%ds%d_%d_%d", c.kernel, c.kernel, c.stride, c.channels, c.size), func(b *testing.B) {
					pad := c.kernel / 2
					out := (c.size+2*pad-c.kernel)/c.stride + 1
					s := conv.Shape{N: 1, IC: c.channels, OC: c.channels, Groups: c.channels, IH: c.size, IW: c.size, OH: out, OW: out,
						KH: c.kernel, KW: c.kernel, StrideH: c.stride, StrideW: c.stride, DilationH: 1, DilationW: 1, PadTop: pad, PadLeft: pad}
					k := newKernel(impl, s, make([]float32, s.IC*s.KH*s.KW), float32(math.Inf(-1)), conv.Epilogue{Bias: make([]float32, s.IC), Lo: 0, Hi: 6})
					x, y := make([]float32, k.inLen), make([]float32, k.outLen)
					flop := 2 * float64(s.IC*s.KH*s.KW) * float64(s.OH*s.OW)
					kerneltest.Rate(b, impl.level, flop, k.Chunks(0), func(i int) { k.Run(0, i, nil, nil, x, nil, y) })
				})
			}
		})
	}
}
