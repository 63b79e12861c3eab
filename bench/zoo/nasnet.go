package zoo

import (
	"fmt"

	"scission/engine/graph"
)

// The BatchNormalization layers of Keras' NASNets have this epsilon.
const nasNetEpsilon = 1e-3

// nasNetInputGain is the gain of what a cell makes of its two inputs.
const nasNetInputGain = 0.75

// nasNetSumGain is the gain of a branch that is added to another one, so that
// the sum has the magnitude of either.
const nasNetSumGain = 0.7

// nasNet is NASNet-A (Zoph, Vasudevan, Shlens, Le: Learning Transferable
// Architectures for Scalable Image Recognition, 2018, figures 2 and 4). Each
// cell reads the outputs of the two cells before it.
type nasNet struct {
	stem    int // filters of the first convolution
	filters int // of the normal cells in the first stage
	cells   int // normal cells in each of the three stages
	// near makes the cell behind a reduction read, as its second input, what
	// the reduction reads, and not what is one cell further back.
	near bool
}

var (
	nasNetMobile = nasNet{stem: 32, filters: 44, cells: 4, near: true}
	nasNetLarge  = nasNet{stem: 96, filters: 168, cells: 6}
)

func (n nasNet) layers(b *builder, x *graph.Value) *graph.Value {
	x = b.conv("stem_conv1", x, n.stem, valid(3, 2), false)
	x = b.batchNorm("stem_bn1", x, nasNetEpsilon, 1)
	stem := x
	x = b.nasNetReduction("stem_1", x, x, n.filters/4)
	x, back := b.nasNetReduction("stem_2", x, b.nasNetAdjust("stem_2", stem, x, n.filters/2), n.filters/2), x
	filters, first := n.filters, 0
	for stage := range 3 {
		if stage > 0 {
			filters *= 2
			first = stage*n.cells + 1
			name := fmt.Sprintf("reduce_%d", stage*n.cells)
			y := b.nasNetReduction(name, x, b.nasNetAdjust(name, back, x, filters), filters)
			if n.near {
				back = x
			}
			x = y
		}
		for i := range n.cells {
			name := fmt.Sprint(first + i)
			x, back = b.nasNetNormal(name, x, b.nasNetAdjust(name, back, x, filters), filters), x
		}
	}
	x = b.relu(b.unique("activation"), x)
	return b.classify("predictions", b.globalAveragePool(b.unique("global_average_pooling2d"), x))
}

// nasNetAdjust gives back the size of x and the number of channels. A halved
// image is made of two samplings, one of which is shifted by a pixel.
func (b *builder) nasNetAdjust(id string, back, x *graph.Value, filters int) *graph.Value {
	switch {
	case back.Shape[2] != x.Shape[2]:
		back = b.relu("adjust_relu_1_"+id, back)
		even := b.averagePool("adjust_avg_pool_1_"+id, back, valid(1, 2))
		even = b.conv("adjust_conv_1_"+id, even, filters/2, same(1, 1), false)
		odd := b.zeroPad(b.unique("zero_padding2d"), back, 0, 0, 1, 1)
		odd = b.zeroPad(b.unique("cropping2d"), odd, -1, -1, 0, 0)
		odd = b.averagePool("adjust_avg_pool_2_"+id, odd, valid(1, 2))
		odd = b.conv("adjust_conv_2_"+id, odd, filters/2, same(1, 1), false)
		return b.batchNorm("adjust_bn_"+id, b.concat(b.unique("concatenate"), even, odd), nasNetEpsilon, nasNetInputGain)
	case back.Shape[1] != filters:
		return b.nasNetConv("adjust_conv_projection_"+id, "adjust_bn_"+id, back, filters)
	}
	return back
}

// nasNetConv is a convolution of 1 x 1 between a rectifier and a
// BatchNormalization.
func (b *builder) nasNetConv(conv, norm string, x *graph.Value, filters int) *graph.Value {
	x = b.conv(conv, b.relu(b.unique("activation"), x), filters, same(1, 1), false)
	return b.batchNorm(norm, x, nasNetEpsilon, nasNetInputGain)
}

// nasNetSeparable is two separable convolutions of k x k, of which the first
// has the stride. Keras names their layers after id.
func (b *builder) nasNetSeparable(id string, x *graph.Value, filters, k, stride int) *graph.Value {
	x = b.relu(b.unique("activation"), x)
	w := same(k, stride)
	if stride > 1 {
		x = b.halvingPad("separable_conv_1_pad_"+id, x, k)
		w = valid(k, stride)
	}
	x = b.separable("separable_conv_1_"+id, x, filters, w)
	x = b.batchNorm("separable_conv_1_bn_"+id, x, nasNetEpsilon, 1)
	x = b.relu(b.unique("activation"), x)
	x = b.separable("separable_conv_2_"+id, x, filters, same(k, 1))
	return b.batchNorm("separable_conv_2_bn_"+id, x, nasNetEpsilon, nasNetSumGain)
}

// nasNetNormal is a cell that keeps the image's size; p is back, adjusted.
func (b *builder) nasNetNormal(id string, x, p *graph.Value, filters int) *graph.Value {
	h := b.nasNetConv("normal_conv_1_"+id, "normal_bn_1_"+id, x, filters)
	separable := func(part string, x *graph.Value, k int) *graph.Value {
		return b.nasNetSeparable("normal_"+part+"_"+id, x, filters, k, 1)
	}
	average := func(part string, x *graph.Value) *graph.Value {
		return b.averagePool("normal_"+part+"_"+id, x, same(3, 1))
	}
	add := func(i int, x, y *graph.Value) *graph.Value {
		return b.add(fmt.Sprintf("normal_add_%d_%s", i, id), x, y)
	}
	x1 := add(1, separable("left1", h, 5), separable("right1", p, 3))
	x2 := add(2, separable("left2", p, 5), separable("right2", p, 3))
	x3 := add(3, average("left3", h), p)
	x4 := add(4, average("left4", p), average("right4", p))
	x5 := add(5, separable("left5", h, 3), h)
	return b.concat("normal_concat_"+id, p, x1, x2, x3, x4, x5)
}

// nasNetReduction is a cell that halves the image's size; p is back, adjusted.
func (b *builder) nasNetReduction(id string, x, p *graph.Value, filters int) *graph.Value {
	h := b.nasNetConv("reduction_conv_1_"+id, "reduction_bn_1_"+id, x, filters)
	padded := b.halvingPad("reduction_pad_1_"+id, h, 3)
	halve := func(part string, x *graph.Value, k int) *graph.Value {
		return b.nasNetSeparable("reduction_"+part+"_"+id, x, filters, k, 2)
	}
	x1 := b.add("reduction_add_1_"+id, halve("left1", h, 5), halve("right1", p, 7))
	x2 := b.add("reduction_add_2_"+id, b.maxPool("reduction_left2_"+id, padded, valid(3, 2)), halve("right2", p, 7))
	x3 := b.add("reduction_add3_"+id, b.averagePool("reduction_left3_"+id, padded, valid(3, 2)), halve("right3", p, 5))
	x4 := b.add(b.unique("add"), x2, b.averagePool("reduction_left4_"+id, x1, same(3, 1)))
	x5 := b.nasNetSeparable("reduction_left4_"+id, x1, filters, 3, 1)
	x5 = b.add("reduction_add4_"+id, x5, b.maxPool("reduction_right5_"+id, padded, valid(3, 2)))
	return b.concat("reduction_concat_"+id, x2, x3, x4, x5)
}
