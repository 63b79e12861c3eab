package ops

import (
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/reorder"
)

// lanes is the number of channels that lie next to each other in nchw16c.
const lanes = reorder.Lanes

// nchw16c is the layout [N][ceil(C/16)][H][W][16] of float32 values of shape
// [N C H W], or [N C W] with H = 1: channel c lies in block c/16, lane c%16.
//
// The lanes of channels that do not exist are zero, always. An operator that
// gives a value in this layout leaves them so; one that would make something
// else of a zero asks for the layout only where C is a multiple of 16.
type nchw16c struct{}

// String names the layout.
func (nchw16c) String() string { return "NCHW16c" }

// Bytes is the size of a value of type t, pad lanes included.
func (nchw16c) Bytes(t tensor.Type) int {
	n, c, hw := planes(t.Shape)
	return n * ceil(c, lanes) * lanes * hw * t.DType.Size()
}

// Pack converts from row-major.
func (nchw16c) Pack(t tensor.Type) graph.Kernel {
	return convert("pack NCHW16c", t, func(dst, src []float32, c, hw, cb int) {
		reorder.Pack(dst[cb*lanes*hw:], src, c, hw, cb)
	})
}

// Unpack converts to row-major.
func (nchw16c) Unpack(t tensor.Type) graph.Kernel {
	return convert("unpack NCHW16c", t, func(dst, src []float32, c, hw, cb int) {
		reorder.Unpack(dst, src[cb*lanes*hw:], c, hw, cb)
	})
}

// reorderTime is about how many nanoseconds the conversion of one element takes.
const reorderTime = 0.3

// convert returns the kernel that converts a value image by image and block by
// block; block is given whole images.
func convert(info string, t tensor.Type, block func(dst, src []float32, c, hw, cb int)) graph.Kernel {
	n, c, hw := planes(t.Shape)
	if hw == 1 && fullBlocks(t.Shape) {
		return view // the bytes are the same
	}
	perImage := ceil(c, lanes)
	blocks := n * perImage
	count := chunks(blocks, reorderTime*float64(lanes*hw))
	return graph.Kernel{Info: info, Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		src, dst := floats(in[0]), floats(out[0])
		lo, hi := span(blocks, count, i, 1)
		for b := lo; b < hi; b++ {
			image := b / perImage
			block(dst[image*(len(dst)/n):], src[image*(len(src)/n):], c, hw, b%perImage)
		}
		return nil
	}}}}
}

// packConstant returns the elements of a constant in NCHW16c.
func packConstant(t *tensor.Tensor) []float32 {
	l := nchw16c{}
	k := l.Pack(t.Type)
	if k.View {
		return floats(t)
	}
	packed := &tensor.Tensor{Type: t.Type, Raw: tensor.Alloc(l.Bytes(t.Type))}
	for _, s := range k.Steps {
		for i := range s.N {
			s.Do(nil, []*tensor.Tensor{t}, []*tensor.Tensor{packed}, i)
		}
	}
	return floats(packed)
}

// floats returns the memory of a float32 tensor, in whichever layout it lies.
func floats(t *tensor.Tensor) []float32 { return tensor.Cast[float32](t.Raw) }

// planes splits a shape [N C ...] of rank 2 or more into the batch, the
// channels and the number of positions.
func planes(s tensor.Shape) (n, c, positions int) {
	return s[0], s[1], s[2:].Elems()
}

// ceil is a/b rounded up, for a >= 0 and b > 0.
func ceil(a, b int) int {
	q := a / b
	if a%b > 0 {
		q++
	}
	return q
}

// blockable reports whether a value of type t can lie in NCHW16c: it is
// float32, has one or two spatial dimensions, and is of a size that leaves
// room for the pad lanes.
func blockable(t tensor.Type) bool {
	if t.DType != tensor.Float32 || len(t.Shape) < 3 || len(t.Shape) > 4 || slices.Contains(t.Shape, 0) {
		return false
	}
	n, c, hw := planes(t.Shape)
	return float64(n)*float64(ceil(c, lanes)*lanes)*float64(hw)*4 <= min(graph.DefaultLimit, math.MaxInt)
}

// fullBlocks reports whether a value of the shape s has no pad lanes.
func fullBlocks(s tensor.Shape) bool { return len(s) >= 2 && s[1]%lanes == 0 }

// sameLayouts is the Layouts of an operator that works element by element on
// its first input and gives one output of the same type: it keeps any layout
// if it makes a zero of a zero, and else any without pad lanes.
func sameLayouts(in, out []graph.Fact, keepsZero bool) (want, give []graph.Layout) {
	want, give = make([]graph.Layout, len(in)), make([]graph.Layout, len(out))
	if l := in[0].Layout; l != nil && (keepsZero || fullBlocks(in[0].Shape)) {
		want[0], give[0] = l, l
	}
	return want, give
}
