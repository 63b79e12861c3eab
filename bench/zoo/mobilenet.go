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

// mobileNet is MobileNet of width 1 (Howard, Zhu, Chen, Kalenichenko, Wang,
// Weyand, Andreetto, Adam: MobileNets, 2017, table 1), whose last layer is a
// convolution over a single pixel.
func mobileNet(b *builder, x *graph.Value) *graph.Value {
	x = b.halvingPad("conv1_pad", x, 3)
	x = b.mobileNetRelu6("conv1", b.conv("conv1", x, 32, valid(3, 2), false))
	for i, filters := range []int{64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024} {
		w := same(3, 1)
		if i > 0 && filters > x.Shape[1] {
			x = b.halvingPad(fmt.Sprintf("conv_pad_%d", i+1), x, 3)
			w = valid(3, 2)
		}
		name := fmt.Sprintf("conv_dw_%d", i+1)
		x = b.mobileNetRelu6(name, b.depthwise(name, x, w))
		name = fmt.Sprintf("conv_pw_%d", i+1)
		x = b.mobileNetRelu6(name, b.conv(name, x, filters, valid(1, 1), false))
	}
	x = b.globalAveragePool(b.unique("global_average_pooling2d"), x)
	x = b.dropout("dropout", b.reshape("reshape_1", x, int64(x.Shape[1]), 1, 1))
	x = b.conv("conv_preds", x, classes, valid(1, 1), true)
	return b.softmax("predictions", b.reshape("reshape_2", x, classes))
}

func (b *builder) mobileNetRelu6(name string, x *graph.Value) *graph.Value {
	return b.relu6(name+"_relu", b.batchNorm(name+"_bn", x, mobileNetEpsilon, 1))
}

// mobileNetV2 is MobileNetV2 of width 1 (Sandler, Howard, Zhu, Zhmoginov,
// Chen: MobileNetV2, 2018, table 2).
func mobileNetV2(b *builder, x *graph.Value) *graph.Value {
	x = b.halvingPad("Conv1_pad", x, 3)
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
		x = b.halvingPad(name+"_pad", x, 3)
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
