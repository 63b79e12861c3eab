package winograd

import (
	"fmt"
	"testing"

	"scission/ops/internal/conv"
	"scission/ops/internal/isa"
	"scission/ops/internal/kerneltest"
)

// shape returns a convolution of one square image whose output is of the same size, with a kernel of so many rows and
// columns.
func shape(ic, size, oc int, kernel [2]int) conv.Shape {
	return conv.Shape{N: 1, IC: ic, IH: size, IW: size, OC: oc, OH: size, OW: size, KH: kernel[0], KW: kernel[1],
		StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: kernel[0] / 2, PadLeft: kernel[1] / 2, Groups: 1}
}

var benchmarks = []struct {
	network      string
	ic, size, oc int
	kernel       [2]int
}{
	{"resnet50", 64, 56, 64, kernels[0]}, {"resnet50", 128, 28, 128, kernels[0]}, {"resnet50", 256, 14, 256, kernels[0]}, {"resnet50", 512, 7, 512, kernels[0]},
	{"vgg16", 64, 224, 64, kernels[0]}, {"vgg16", 64, 112, 128, kernels[0]}, {"vgg16", 128, 112, 128, kernels[0]}, {"vgg16", 128, 56, 256, kernels[0]},
	{"vgg16", 256, 56, 256, kernels[0]}, {"vgg16", 256, 28, 512, kernels[0]}, {"vgg16", 512, 28, 512, kernels[0]}, {"vgg16", 512, 14, 512, kernels[0]},
	{"densenet121", 128, 56, 32, kernels[0]}, {"densenet121", 128, 28, 32, kernels[0]}, {"densenet121", 128, 14, 32, kernels[0]}, {"densenet121", 128, 7, 32, kernels[0]},
	{"inception_v3", 32, 147, 64, kernels[0]}, {"inception_v3", 80, 71, 192, kernels[0]}, {"inception_v3", 64, 35, 96, kernels[0]}, {"inception_v3", 96, 35, 96, kernels[0]},
	{"inception_v3", 448, 8, 384, kernels[0]},
	{"inception_v3", 128, 17, 128, kernels[3]}, {"inception_v3", 192, 17, 192, kernels[3]}, {"inception_v3", 192, 17, 192, kernels[4]},
	{"inception_v3", 384, 8, 384, kernels[1]}, {"inception_v3", 384, 8, 384, kernels[2]}, {"inceptionresnet_v2", 192, 8, 224, kernels[1]},
}

// BenchmarkLayers runs whole layers on one thread with memory that is warm. GFLOP/s are those of direct summation, so
// they can be more than the processor's.
func BenchmarkLayers(b *testing.B) {
	for i := range implementations {
		impl := &implementations[i]
		b.Run(impl.level.String(), func(b *testing.B) {
			if !isa.Have(impl.level) {
				b.Skipf("this machine has no %s", impl.level)
			}
			for _, c := range benchmarks {
				b.Run(fmt.Sprintf("%s/%dx%d_%d_%d_%d", c.network, c.kernel[0], c.kernel[1], c.ic, c.size, c.oc), func(b *testing.B) {
					s := shape(c.ic, c.size, c.oc, c.kernel)
					weights := make([]float32, s.OC*s.IC*s.KH*s.KW)
					k := newKernel(impl, s, weights, conv.Epilogue{Bias: make([]float32, s.OC), Lo: 0, Hi: 6}, cut{})
					in, out := make([]float32, k.inLen), make([]float32, k.outLen)
					temp, scratch := conv.Aligned(k.Temp()), conv.Aligned(k.Scratch())
					flop := 2 * float64(len(weights)) * float64(s.OH*s.OW)
					first := k.Chunks(0)
					pieces := first
					if k.Steps() > 1 {
						pieces += k.Chunks(1)
					}
					kerneltest.Rate(b, impl.level, flop, pieces, func(i int) {
						if i < first {
							k.Run(0, i, temp, scratch, in, nil, out)
						} else {
							k.Run(1, i-first, temp, scratch, in, nil, out)
						}
					})
				})
			}
		})
	}
}

// BenchmarkNew is the time that the transform of a kernel's nine weights takes when a model is opened.
func BenchmarkNew(b *testing.B) {
	s := shape(256, 14, 256, kernels[0])
	weights := make([]float32, s.OC*s.IC*kernel*kernel)
	for b.Loop() {
		New(s, weights, conv.Pass)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*s.OC*s.IC), "ns/kernel")
}
