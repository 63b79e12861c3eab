package zoo

import (
	"fmt"

	"scission/engine/graph"
)

// The BatchNormalization layers of Keras' ResNets have this epsilon.
const resNetEpsilon = 1.001e-5

// Gains of the last BatchNormalization of a residual branch and of one in the
// shortcut around it.
const (
	resNetBranchGain   = 0.3
	resNetShortcutGain = 0.8
)

// resNet is ResNet, version 1, with the given number of blocks in each of its
// four stages (He, Zhang, Ren, Sun: Deep Residual Learning, 2016, table 1). As
// in Keras, the convolutions have biases, and the first one of a block has its
// stride.
func resNet(depths ...int) func(*builder, *graph.Value) *graph.Value {
	return func(b *builder, x *graph.Value) *graph.Value {
		x = b.zeroPad("conv1_pad", x, 3, 3, 3, 3)
		x = b.resNetConv("conv1", x, 64, valid(7, 2), 1)
		x = b.relu("conv1_relu", x)
		x = b.zeroPad("pool1_pad", x, 1, 1, 1, 1)
		x = b.maxPool("pool1_pool", x, valid(3, 2))
		filters, stride := 64, 1
		for i, depth := range depths {
			for j := range depth {
				name := fmt.Sprintf("conv%d_block%d", i+2, j+1)
				x = b.resNetBlock(name, x, filters, stride, j == 0)
				stride = 1
			}
			filters, stride = 2*filters, 2
		}
		return b.classify("predictions", b.globalAveragePool("avg_pool", x))
	}
}

// resNetBlock is a bottleneck around which goes the block's input, through a
// convolution where project is set.
func (b *builder) resNetBlock(name string, x *graph.Value, filters, stride int, project bool) *graph.Value {
	shortcut := x
	if project {
		shortcut = b.resNetConv(name+"_0", x, 4*filters, valid(1, stride), resNetShortcutGain)
	}
	x = b.resNetConv(name+"_1", x, filters, valid(1, stride), 1)
	x = b.relu(name+"_1_relu", x)
	x = b.resNetConv(name+"_2", x, filters, same(3, 1), 1)
	x = b.relu(name+"_2_relu", x)
	x = b.resNetConv(name+"_3", x, 4*filters, valid(1, 1), resNetBranchGain)
	return b.relu(name+"_out", b.add(name+"_add", shortcut, x))
}

func (b *builder) resNetConv(name string, x *graph.Value, filters int, w window, gain float32) *graph.Value {
	return b.batchNorm(name+"_bn", b.conv(name+"_conv", x, filters, w, true), resNetEpsilon, gain)
}
