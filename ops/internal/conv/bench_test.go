package conv

import (
	"testing"

	"scission/ops/internal/isa"
	"scission/ops/internal/kerneltest"
)

// square returns a convolution of one image with a square input, kernel and "same" padding.
func square(ic, size, oc, kernel, stride int) Shape {
	pad := (kernel - 1) / 2
	out := (size+2*pad-kernel)/stride + 1
	return Shape{N: 1, IC: ic, IH: size, IW: size, OC: oc, OH: out, OW: out, KH: kernel, KW: kernel,
		StrideH: stride, StrideW: stride, DilationH: 1, DilationW: 1, PadTop: pad, PadLeft: pad, Groups: 1}
}

var benchmarks = []struct {
	name     string
	shape    Shape
	rowMajor bool
}{
	{"resnet50/stem7x7s2", square(3, 224, 64, 7, 2), true},
	{"resnet50/3x3_64_56", square(64, 56, 64, 3, 1), false},
	{"resnet50/3x3_128_28", square(128, 28, 128, 3, 1), false},
	{"resnet50/3x3_256_14", square(256, 14, 256, 3, 1), false},
	{"resnet50/3x3_512_7", square(512, 7, 512, 3, 1), false},
	{"resnet50/3x3s2_128_56", square(128, 56, 128, 3, 2), false},
	{"resnet50/1x1_64_256_56", square(64, 56, 256, 1, 1), false},
	{"resnet50/1x1_256_64_56", square(256, 56, 64, 1, 1), false},
	{"resnet50/1x1_512_128_28", square(512, 28, 128, 1, 1), false},
	{"resnet50/1x1_128_512_28", square(128, 28, 512, 1, 1), false},
	{"resnet50/1x1_1024_256_14", square(1024, 14, 256, 1, 1), false},
	{"resnet50/1x1_256_1024_14", square(256, 14, 1024, 1, 1), false},
	{"resnet50/1x1_512_2048_7", square(512, 7, 2048, 1, 1), false},
	{"resnet50/1x1_2048_512_7", square(2048, 7, 512, 1, 1), false},
	{"resnet50/1x1s2_256_512_56", square(256, 56, 512, 1, 2), false},
	{"vgg16/3x3_3_64_224", square(3, 224, 64, 3, 1), true},
	{"vgg16/3x3_64_224", square(64, 224, 64, 3, 1), false},
	{"vgg16/3x3_128_112", square(128, 112, 128, 3, 1), false},
	{"vgg16/3x3_512_14", square(512, 14, 512, 3, 1), false},
	{"inception_v3/1x7_160_17", Shape{N: 1, IC: 160, IH: 17, IW: 17, OC: 160, OH: 17, OW: 17, KH: 1, KW: 7, StrideH: 1, StrideW: 1,
		DilationH: 1, DilationW: 1, PadLeft: 3, Groups: 1}, false},
	{"inception_v3/7x1_160_17", Shape{N: 1, IC: 160, IH: 17, IW: 17, OC: 160, OH: 17, OW: 17, KH: 7, KW: 1, StrideH: 1, StrideW: 1,
		DilationH: 1, DilationW: 1, PadTop: 3, Groups: 1}, false},
	{"inception_v3/5x5_48_64_35", square(48, 35, 64, 5, 1), false},
	{"inception_v3/3x3s2_288_384_35", square(288, 35, 384, 3, 2), false},
	{"inception_v3/1x1_768_192_17", square(768, 17, 192, 1, 1), false},
	{"inception_v3/1x1_288_64_35", square(288, 35, 64, 1, 1), false},
	{"xception/1x1_728_19", square(728, 19, 728, 1, 1), false},
	{"mobilenetv2/stem3x3s2", square(3, 224, 32, 3, 2), true},
	{"mobilenetv2/1x1_32_16_112", square(32, 112, 16, 1, 1), false},
	{"mobilenetv2/1x1_16_96_112", square(16, 112, 96, 1, 1), false},
	{"mobilenetv2/1x1_96_24_56", square(96, 56, 24, 1, 1), false},
	{"mobilenetv2/1x1_24_144_56", square(24, 56, 144, 1, 1), false},
	{"mobilenetv2/1x1_192_32_28", square(192, 28, 32, 1, 1), false},
	{"mobilenetv2/1x1_384_64_14", square(384, 14, 64, 1, 1), false},
	{"mobilenetv2/1x1_160_960_7", square(160, 7, 960, 1, 1), false},
	{"mobilenetv2/1x1_320_1280_7", square(320, 7, 1280, 1, 1), false},
}

// BenchmarkLayers runs whole layers, padding included, on one thread with memory that is warm.
func BenchmarkLayers(b *testing.B) {
	for i := range implementations {
		impl := &implementations[i]
		b.Run(impl.String(), func(b *testing.B) {
			if !isa.Have(impl.level) {
				b.Skipf("this machine has no %s", impl.level)
			}
			for _, c := range benchmarks {
				b.Run(c.name, func(b *testing.B) {
					s := c.shape
					weights := make([]float32, s.OC*s.IC*s.KH*s.KW)
					k := newKernel(impl, s, weights, c.rowMajor, Epilogue{Bias: make([]float32, s.OC), Lo: 0, Hi: 6})
					in, out := make([]float32, k.inLen), make([]float32, k.outLen)
					temp, scratch := make([]float32, k.Temp()), make([]float32, k.Scratch())
					flop := 2 * float64(s.OC*s.IC*s.KH*s.KW) * float64(s.OH*s.OW)
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
