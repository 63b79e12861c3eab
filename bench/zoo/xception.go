package zoo

import (
	"fmt"

	"scission/engine/graph"
)

// The BatchNormalization layers of Keras' Xception have this epsilon.
const xceptionEpsilon = 1e-3

// Gains of the BatchNormalization that ends a residual branch of Xception, and
// of the one in the shortcut around it.
const (
	xceptionBranchGain   = 0.3
	xceptionShortcutGain = 0.7
)

// xception is Xception (Chollet: Xception, 2017, figure 5).
func xception(b *builder, x *graph.Value) *graph.Value {
	x = b.conv("block1_conv1", x, 32, valid(3, 2), false)
	x = b.relu("block1_conv1_act", b.batchNorm("block1_conv1_bn", x, xceptionEpsilon, 1))
	x = b.conv("block1_conv2", x, 64, valid(3, 1), false)
	x = b.relu("block1_conv2_act", b.batchNorm("block1_conv2_bn", x, xceptionEpsilon, 1))
	x = b.xceptionHalve(2, x, 128, 128)
	x = b.xceptionHalve(3, x, 256, 256)
	x = b.xceptionHalve(4, x, 728, 728)
	for block := 5; block <= 12; block++ {
		x = b.add(b.unique("add"), b.xceptionBranch(block, x, 728, 728, 728), x)
	}
	x = b.xceptionHalve(13, x, 728, 1024)
	for i, filters := range []int{1536, 2048} {
		name := fmt.Sprintf("block14_sepconv%d", i+1)
		x = b.separable(name, x, filters, same(3, 1))
		x = b.relu(name+"_act", b.batchNorm(name+"_bn", x, xceptionEpsilon, 1))
	}
	return b.classify("predictions", b.globalAveragePool("avg_pool", x))
}

// xceptionHalve is a block that halves the size of the image, with a
// convolution in the shortcut.
func (b *builder) xceptionHalve(block int, x *graph.Value, filters ...int) *graph.Value {
	shortcut := b.conv(b.unique("conv2d"), x, filters[len(filters)-1], same(1, 2), false)
	shortcut = b.batchNorm(b.unique("batch_normalization"), shortcut, xceptionEpsilon, xceptionShortcutGain)
	x = b.xceptionBranch(block, x, filters...)
	x = b.maxPool(fmt.Sprintf("block%d_pool", block), x, same(3, 2))
	return b.add(b.unique("add"), x, shortcut)
}

// xceptionBranch is a row of separable convolutions, each behind a rectifier.
// The first of block 2 has none, as the layer before it is one.
func (b *builder) xceptionBranch(block int, x *graph.Value, filters ...int) *graph.Value {
	for i, f := range filters {
		name := fmt.Sprintf("block%d_sepconv%d", block, i+1)
		if block > 2 || i > 0 {
			x = b.relu(name+"_act", x)
		}
		gain := float32(1)
		if i == len(filters)-1 {
			gain = xceptionBranchGain
		}
		x = b.batchNorm(name+"_bn", b.separable(name, x, f, same(3, 1)), xceptionEpsilon, gain)
	}
	return x
}
