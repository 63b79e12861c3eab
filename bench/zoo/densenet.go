package zoo

import (
	"fmt"

	"scission/engine/graph"
)

// The BatchNormalization layers of Keras' DenseNets have this epsilon.
const denseNetEpsilon = 1.001e-5

// denseNetGrowth is the number of channels that each block adds.
const denseNetGrowth = 32

// denseNet is DenseNet-BC with the given number of blocks in each of its four
// stages (Huang, Liu, van der Maaten, Weinberger: Densely Connected
// Convolutional Networks, 2017, table 1).
func denseNet(depths ...int) func(*builder, *graph.Value) *graph.Value {
	return func(b *builder, x *graph.Value) *graph.Value {
		x = b.zeroPad(b.unique("zero_padding2d"), x, 3, 3, 3, 3)
		x = b.conv("conv1_conv", x, 64, valid(7, 2), false)
		x = b.denseNetRelu("conv1", x)
		x = b.zeroPad(b.unique("zero_padding2d"), x, 1, 1, 1, 1)
		x = b.maxPool("pool1", x, valid(3, 2))
		for i, depth := range depths {
			if i > 0 {
				name := fmt.Sprintf("pool%d", i+1)
				x = b.denseNetRelu(name, x)
				x = b.conv(name+"_conv", x, x.Shape[1]/2, valid(1, 1), false)
				x = b.averagePool(name+"_pool", x, valid(2, 2))
			}
			for j := range depth {
				x = b.denseNetBlock(fmt.Sprintf("conv%d_block%d", i+2, j+1), x)
			}
		}
		x = b.relu("relu", b.batchNorm("bn", x, denseNetEpsilon, 1))
		return b.classify("predictions", b.globalAveragePool("avg_pool", x))
	}
}

// denseNetBlock adds channels that it computes from all channels before.
func (b *builder) denseNetBlock(name string, x *graph.Value) *graph.Value {
	y := b.denseNetRelu(name+"_0", x)
	y = b.conv(name+"_1_conv", y, 4*denseNetGrowth, valid(1, 1), false)
	y = b.denseNetRelu(name+"_1", y)
	y = b.conv(name+"_2_conv", y, denseNetGrowth, same(3, 1), false)
	return b.concat(name+"_concat", x, y)
}

func (b *builder) denseNetRelu(name string, x *graph.Value) *graph.Value {
	return b.relu(name+"_relu", b.batchNorm(name+"_bn", x, denseNetEpsilon, 1))
}
