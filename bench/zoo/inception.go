package zoo

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// The BatchNormalization layers of Keras' Inception networks have this epsilon.
const inceptionEpsilon = 1e-3

// inceptionLastGain is the gain of the layer behind all residual branches of
// Inception-ResNet-v2, which undoes their growth.
const inceptionLastGain = 0.4

// inceptionStep is a convolution of a branch.
type inceptionStep struct {
	filters int
	window
}

// inceptionBranch convolves, normalises and rectifies in each step.
func (b *builder) inceptionBranch(x *graph.Value, steps ...inceptionStep) *graph.Value {
	for _, s := range steps {
		x = b.inceptionConv(b.unique("conv2d"), b.unique("batch_normalization"), b.unique("activation"), x, s, 1)
	}
	return x
}

func (b *builder) inceptionConv(conv, norm, relu string, x *graph.Value, s inceptionStep, gain float32) *graph.Value {
	x = b.conv(conv, x, s.filters, s.window, false)
	return b.relu(relu, b.batchNormUnscaled(norm, x, inceptionEpsilon, gain))
}

// inceptionPool is the branch that averages before its only convolution.
func (b *builder) inceptionPool(x *graph.Value, filters int) *graph.Value {
	x = b.averagePool(b.unique("average_pooling2d"), x, same(3, 1))
	return b.inceptionBranch(x, inceptionStep{filters, same(1, 1)})
}

// inceptionHalve is the pooling that halves the size of the image.
func (b *builder) inceptionHalve(x *graph.Value) *graph.Value {
	return b.maxPool(b.unique("max_pooling2d"), x, valid(3, 2))
}

// inceptionStem is what Inception-v3 and Inception-ResNet-v2 begin with. It
// makes 192 channels of 35 x 35 from an image of 299 x 299.
func (b *builder) inceptionStem(x *graph.Value) *graph.Value {
	x = b.inceptionBranch(x,
		inceptionStep{32, valid(3, 2)}, inceptionStep{32, valid(3, 1)}, inceptionStep{64, same(3, 1)})
	x = b.inceptionBranch(b.inceptionHalve(x), inceptionStep{80, valid(1, 1)}, inceptionStep{192, valid(3, 1)})
	return b.inceptionHalve(x)
}

// inceptionBlock35 has four branches over 35 x 35 pixels. The two numbers are
// the filters of the first branch and of the one that pools.
func (b *builder) inceptionBlock35(name string, x *graph.Value, first, pooled int) *graph.Value {
	return b.concat(name,
		b.inceptionBranch(x, inceptionStep{first, same(1, 1)}),
		b.inceptionBranch(x, inceptionStep{48, same(1, 1)}, inceptionStep{64, same(5, 1)}),
		b.inceptionBranch(x, inceptionStep{64, same(1, 1)}, inceptionStep{96, same(3, 1)}, inceptionStep{96, same(3, 1)}),
		b.inceptionPool(x, pooled))
}

// inceptionV3 is Inception-v3 (Szegedy, Vanhoucke, Ioffe, Shlens, Wojna:
// Rethinking the Inception Architecture for Computer Vision, 2016, table 1).
func inceptionV3(b *builder, x *graph.Value) *graph.Value {
	x = b.inceptionStem(x)
	for i, pooled := range []int{32, 64, 64} {
		x = b.inceptionBlock35(fmt.Sprintf("mixed%d", i), x, 64, pooled)
	}
	x = b.concat("mixed3",
		b.inceptionBranch(x, inceptionStep{384, valid(3, 2)}),
		b.inceptionBranch(x, inceptionStep{64, same(1, 1)}, inceptionStep{96, same(3, 1)}, inceptionStep{96, valid(3, 2)}),
		b.inceptionHalve(x))
	for i, filters := range []int{128, 160, 160, 192} {
		x = b.inceptionBlock17(fmt.Sprintf("mixed%d", 4+i), x, filters)
	}
	x = b.concat("mixed8",
		b.inceptionBranch(x, inceptionStep{192, same(1, 1)}, inceptionStep{320, valid(3, 2)}),
		b.inceptionBranch(x, inceptionStep{192, same(1, 1)}, inceptionStep{192, rectangle(1, 7)},
			inceptionStep{192, rectangle(7, 1)}, inceptionStep{192, valid(3, 2)}),
		b.inceptionHalve(x))
	for i := range 2 {
		x = b.inceptionBlock8(i, x)
	}
	return b.classify("predictions", b.globalAveragePool("avg_pool", x))
}

// inceptionBlock17 has four branches over 17 x 17 pixels, whose windows of
// 7 x 7 are taken apart into rows and columns.
func (b *builder) inceptionBlock17(name string, x *graph.Value, filters int) *graph.Value {
	return b.concat(name,
		b.inceptionBranch(x, inceptionStep{192, same(1, 1)}),
		b.inceptionBranch(x, inceptionStep{filters, same(1, 1)},
			inceptionStep{filters, rectangle(1, 7)}, inceptionStep{192, rectangle(7, 1)}),
		b.inceptionBranch(x, inceptionStep{filters, same(1, 1)},
			inceptionStep{filters, rectangle(7, 1)}, inceptionStep{filters, rectangle(1, 7)},
			inceptionStep{filters, rectangle(7, 1)}, inceptionStep{192, rectangle(1, 7)}),
		b.inceptionPool(x, 192))
}

// inceptionBlock8 is the block number i over 8 x 8 pixels. Two of its four
// branches end in a row and a column side by side.
func (b *builder) inceptionBlock8(i int, x *graph.Value) *graph.Value {
	first := b.inceptionBranch(x, inceptionStep{320, same(1, 1)})
	single := b.inceptionCross(fmt.Sprintf("mixed9_%d", i), b.inceptionBranch(x, inceptionStep{384, same(1, 1)}))
	double := b.inceptionBranch(x, inceptionStep{448, same(1, 1)}, inceptionStep{384, same(3, 1)})
	double = b.inceptionCross(b.unique("concatenate"), double)
	return b.concat(fmt.Sprintf("mixed%d", 9+i), first, single, double, b.inceptionPool(x, 192))
}

func (b *builder) inceptionCross(name string, x *graph.Value) *graph.Value {
	row := b.inceptionBranch(x, inceptionStep{384, rectangle(1, 3)})
	return b.concat(name, row, b.inceptionBranch(x, inceptionStep{384, rectangle(3, 1)}))
}

// inceptionResNetV2 is Inception-ResNet-v2 (Szegedy, Ioffe, Vanhoucke, Alemi:
// Inception-v4, Inception-ResNet and the Impact of Residual Connections, 2017,
// figure 15).
func inceptionResNetV2(b *builder, x *graph.Value) *graph.Value {
	x = b.inceptionBlock35("mixed_5b", b.inceptionStem(x), 96, 64)
	for i := range 10 {
		x = b.inceptionResidual(fmt.Sprintf("block35_%d", i+1), x, 0.17, true,
			b.inceptionBranch(x, inceptionStep{32, same(1, 1)}),
			b.inceptionBranch(x, inceptionStep{32, same(1, 1)}, inceptionStep{32, same(3, 1)}),
			b.inceptionBranch(x, inceptionStep{32, same(1, 1)}, inceptionStep{48, same(3, 1)}, inceptionStep{64, same(3, 1)}))
	}
	x = b.concat("mixed_6a",
		b.inceptionBranch(x, inceptionStep{384, valid(3, 2)}),
		b.inceptionBranch(x, inceptionStep{256, same(1, 1)}, inceptionStep{256, same(3, 1)}, inceptionStep{384, valid(3, 2)}),
		b.inceptionHalve(x))
	for i := range 20 {
		x = b.inceptionResidual(fmt.Sprintf("block17_%d", i+1), x, 0.1, true,
			b.inceptionBranch(x, inceptionStep{192, same(1, 1)}),
			b.inceptionBranch(x, inceptionStep{128, same(1, 1)}, inceptionStep{160, rectangle(1, 7)}, inceptionStep{192, rectangle(7, 1)}))
	}
	x = b.concat("mixed_7a",
		b.inceptionBranch(x, inceptionStep{256, same(1, 1)}, inceptionStep{384, valid(3, 2)}),
		b.inceptionBranch(x, inceptionStep{256, same(1, 1)}, inceptionStep{288, valid(3, 2)}),
		b.inceptionBranch(x, inceptionStep{256, same(1, 1)}, inceptionStep{288, same(3, 1)}, inceptionStep{320, valid(3, 2)}),
		b.inceptionHalve(x))
	for i := range 10 {
		scale, last := float32(0.2), i == 9
		if last {
			scale = 1
		}
		x = b.inceptionResidual(fmt.Sprintf("block8_%d", i+1), x, scale, !last,
			b.inceptionBranch(x, inceptionStep{192, same(1, 1)}),
			b.inceptionBranch(x, inceptionStep{192, same(1, 1)}, inceptionStep{224, rectangle(1, 3)}, inceptionStep{256, rectangle(3, 1)}))
	}
	x = b.inceptionConv("conv_7b", "conv_7b_bn", "conv_7b_ac", x, inceptionStep{1536, same(1, 1)}, inceptionLastGain)
	return b.classify("predictions", b.globalAveragePool("avg_pool", x))
}

// inceptionResidual gives the branches together as many channels as x has and
// adds scale times the result to x.
func (b *builder) inceptionResidual(name string, x *graph.Value, scale float32, rectify bool, branches ...*graph.Value) *graph.Value {
	y := b.conv(name+"_conv", b.concat(name+"_mixed", branches...), x.Shape[1], same(1, 1), true)
	y = b.node(name, "Mul", nil, y, graph.Constant(name+"/scale", tensor.Scalar(scale)))
	y = b.add(name+"/add", x, y)
	if rectify {
		y = b.relu(name+"_ac", y)
	}
	return y
}
