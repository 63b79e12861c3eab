package ops

import (
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// Permutations between [N C H W] and [N H W C].
var (
	channelsLast  = []int{0, 2, 3, 1}
	channelsFirst = []int{0, 3, 1, 2}
)

// reordersBlocks reports whether a transpose by perm of the input x reads NCHW16c
// as it lies: it puts the channels last.
func reordersBlocks(x graph.Fact, perm []int) bool {
	last := slices.Equal(perm, channelsLast) || slices.Equal(perm, []int{0, 2, 1})
	return x.Layout == nchw16c{} && last && reorders(x.Shape, perm)
}

// makesBlocks reports whether a transpose by perm of x gives NCHW16c, if its
// readers want that: it takes the channels from the end, and they are not those of
// an image, which convolutions read row-major.
func makesBlocks(x tensor.Type, perm []int) bool {
	if !slices.Equal(perm, channelsFirst) || x.Shape[3] <= maxImageChannels || !reorders(x.Shape, perm) {
		return false
	}
	s := x.Shape
	return blockable(tensor.Type{DType: x.DType, Shape: tensor.Shape{s[0], s[3], s[1], s[2]}})
}

// channelsLastKernel moves values between NCHW16c, with n images of c channels at
// hw positions each, and [n hw c] row-major: to the latter, or toBlocks from it.
func channelsLastKernel(n, c, hw int, toBlocks bool) graph.Kernel {
	positions := n * hw
	blocks, whole := ceil(c, lanes), c/lanes
	count := chunks(positions, reorderTime*float64(c))
	info := "NCHW16c to channels last"
	if toBlocks {
		info = "channels last to NCHW16c"
	}
	return graph.Kernel{Info: info, Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(positions, count, i, 1)
		rows, blocked := floats(out[0]), floats(in[0])
		if toBlocks {
			rows, blocked = blocked, rows
		}
		for p := lo; p < hi; p++ {
			row := rows[p*c:][:c]
			at := (p/hw*blocks*hw + p%hw) * lanes
			for b := range whole {
				x, y := (*[lanes]float32)(row[b*lanes:]), (*[lanes]float32)(blocked[at:])
				if toBlocks {
					*y = *x
				} else {
					*x = *y
				}
				at += hw * lanes
			}
			if whole == blocks {
				continue
			}
			rest := blocked[at:][:lanes]
			if toBlocks {
				clear(rest[copy(rest, row[whole*lanes:]):])
			} else {
				copy(row[whole*lanes:], rest)
			}
		}
		return nil
	}}}}
}
