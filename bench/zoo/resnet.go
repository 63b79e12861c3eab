package zoo

import (
	"fmt"
	"math"

	"scission/engine/graph"
)

// The BatchNormalization layers of Keras' ResNets have this epsilon.
const resNetEpsilon = 1.001e-5

// resNetShortcutGain is the gain of the BatchNormalization in the shortcut
// around a residual branch.
const resNetShortcutGain = 0.8

// resNetPostGain is the gain of the layer behind all residual branches of
// version 2, which undoes their growth.
const resNetPostGain = 0.5

// resNetGain is the gain of a residual branch, the smaller, the more branches
// are added up.
func resNetGain(depths []int) float32 {
	blocks := 0
	for _, depth := range depths {
		blocks += depth
	}
	return float32(1.2 / math.Sqrt(float64(blocks)))
}

// resNet is ResNet, version 1, with the given number of blocks in each of its
// four stages (He, Zhang, Ren, Sun: Deep Residual Learning, 2016, table 1). As
// in Keras, the convolutions have biases, and the first one of a block has its
// stride.
func resNet(depths ...int) func(*builder, *graph.Value) *graph.Value {
	gain := resNetGain(depths)
	return func(b *builder, x *graph.Value) *graph.Value {
		x = b.zeroPad("conv1_pad", x, 3, 3, 3, 3)
		x = b.relu("conv1_relu", b.resNetConv("conv1", x, 64, valid(7, 2), 1))
		x = b.resNetPool(x)
		for i, depth := range depths {
			for j := range depth {
				stride := 1
				if i > 0 && j == 0 {
					stride = 2
				}
				x = b.resNetBlock(fmt.Sprintf("conv%d_block%d", i+2, j+1), x, 64<<i, stride, j == 0, gain)
			}
		}
		return b.classify("predictions", b.globalAveragePool("avg_pool", x))
	}
}

func (b *builder) resNetPool(x *graph.Value) *graph.Value {
	return b.maxPool("pool1_pool", b.zeroPad("pool1_pad", x, 1, 1, 1, 1), valid(3, 2))
}

// resNetBlock is a bottleneck around which goes the block's input, through a
// convolution where project is set.
func (b *builder) resNetBlock(name string, x *graph.Value, filters, stride int, project bool, gain float32) *graph.Value {
	shortcut := x
	if project {
		shortcut = b.resNetConv(name+"_0", x, 4*filters, valid(1, stride), resNetShortcutGain)
	}
	x = b.resNetConv(name+"_1", x, filters, valid(1, stride), 1)
	x = b.relu(name+"_1_relu", x)
	x = b.resNetConv(name+"_2", x, filters, same(3, 1), 1)
	x = b.relu(name+"_2_relu", x)
	x = b.resNetConv(name+"_3", x, 4*filters, valid(1, 1), gain)
	return b.relu(name+"_out", b.add(name+"_add", shortcut, x))
}

func (b *builder) resNetConv(name string, x *graph.Value, filters int, w window, gain float32) *graph.Value {
	return b.batchNorm(name+"_bn", b.conv(name+"_conv", x, filters, w, true), resNetEpsilon, gain)
}

// resNetV2 is ResNet, version 2, whose blocks begin with the normalisation (He,
// Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks, 2016, figure
// 1b). As in Keras, the last block of a stage has its stride, but for the last
// stage.
func resNetV2(depths ...int) func(*builder, *graph.Value) *graph.Value {
	gain := resNetGain(depths)
	return func(b *builder, x *graph.Value) *graph.Value {
		x = b.zeroPad("conv1_pad", x, 3, 3, 3, 3)
		x = b.resNetPool(b.conv("conv1_conv", x, 64, valid(7, 2), true))
		for i, depth := range depths {
			for j := range depth {
				stride := 1
				if i < len(depths)-1 && j == depth-1 {
					stride = 2
				}
				x = b.resNetV2Block(fmt.Sprintf("conv%d_block%d", i+2, j+1), x, 64<<i, stride, j == 0, gain)
			}
		}
		x = b.resNetRelu("post", x, resNetPostGain)
		return b.classify("predictions", b.globalAveragePool("avg_pool", x))
	}
}

// resNetV2Block is a bottleneck around which goes the block's input: through a
// convolution where project is set, else every stride-th pixel of it.
func (b *builder) resNetV2Block(name string, x *graph.Value, filters, stride int, project bool, gain float32) *graph.Value {
	y := b.resNetRelu(name+"_preact", x, 1)
	shortcut := x
	switch {
	case project:
		shortcut = b.conv(name+"_0_conv", y, 4*filters, valid(1, stride), true)
	case stride > 1:
		shortcut = b.maxPool(b.unique("max_pooling2d"), x, valid(1, stride))
	}
	y = b.resNetRelu(name+"_1", b.conv(name+"_1_conv", y, filters, valid(1, 1), false), 1)
	y = b.zeroPad(name+"_2_pad", y, 1, 1, 1, 1)
	y = b.resNetRelu(name+"_2", b.conv(name+"_2_conv", y, filters, valid(3, stride), false), gain)
	return b.add(name+"_out", shortcut, b.conv(name+"_3_conv", y, 4*filters, valid(1, 1), true))
}

func (b *builder) resNetRelu(name string, x *graph.Value, gain float32) *graph.Value {
	return b.relu(name+"_relu", b.batchNorm(name+"_bn", x, resNetEpsilon, gain))
}
