package zoo

import (
	"fmt"

	"scission/engine/graph"
)

// The BatchNormalization layers of Keras' MobileNets have this epsilon.
const mobileNetEpsilon = 1e-3

// Gains of the BatchNormalization that ends a block of MobileNetV2: without
// and with a sum behind it.
const (
	mobileNetGain         = 0.7
	mobileNetResidualGain = 0.4
)

// mobileNetV2 is MobileNetV2 of width 1 (Sandler, Howard, Zhu, Zhmoginov,
// Chen: MobileNetV2, 2018, table 2).
func mobileNetV2(b *builder, x *graph.Value) *graph.Value {
	x = b.mobileNetPad("Conv1_pad", x)
	x = b.conv("Conv1", x, 32, valid(3, 2), false)
	x = b.batchNorm("bn_Conv1", x, mobileNetEpsilon, 1)
	x = b.relu6("Conv1_relu", x)
	x = b.invertedResidual("expanded_conv", x, 1, 16, 1)
	id := 0
	for _, stage := range []struct{ filters, blocks, stride int }{
		{24, 2, 2}, {32, 3, 2}, {64, 4, 2}, {96, 3, 1}, {160, 3, 2}, {320, 1, 1},
	} {
		stride := stage.stride
		for range stage.blocks {
			id++
			x = b.invertedResidual(fmt.Sprintf("block_%d", id), x, 6, stage.filters, stride)
			stride = 1
		}
	}
	x = b.conv("Conv_1", x, 1280, valid(1, 1), false)
	x = b.batchNorm("Conv_1_bn", x, mobileNetEpsilon, 1)
	x = b.relu6("out_relu", x)
	return b.classify("predictions", b.globalAveragePool("global_average_pooling2d", x))
}

// invertedResidual widens the image to expansion times its channels, convolves
// each channel, and narrows it to filters channels. The block's input is added
// where the shapes agree.
func (b *builder) invertedResidual(name string, x *graph.Value, expansion, filters, stride int) *graph.Value {
	input := x
	if expansion > 1 {
		x = b.conv(name+"_expand", x, expansion*x.Shape[1], valid(1, 1), false)
		x = b.batchNorm(name+"_expand_BN", x, mobileNetEpsilon, 1)
		x = b.relu6(name+"_expand_relu", x)
	}
	w := same(3, stride)
	if stride > 1 {
		x = b.mobileNetPad(name+"_pad", x)
		w = valid(3, stride)
	}
	x = b.depthwise(name+"_depthwise", x, w)
	x = b.batchNorm(name+"_depthwise_BN", x, mobileNetEpsilon, 1)
	x = b.relu6(name+"_depthwise_relu", x)
	x = b.conv(name+"_project", x, filters, valid(1, 1), false)
	if stride > 1 || input.Shape[1] != filters {
		return b.batchNorm(name+"_project_BN", x, mobileNetEpsilon, mobileNetGain)
	}
	x = b.batchNorm(name+"_project_BN", x, mobileNetEpsilon, mobileNetResidualGain)
	return b.add(name+"_add", input, x)
}

// mobileNetPad pads as Keras does before a window of 3 x 3 with stride 2.
func (b *builder) mobileNetPad(name string, x *graph.Value) *graph.Value {
	return b.zeroPad(name, x, x.Shape[2]%2, x.Shape[3]%2, 1, 1)
}
