package ops

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Col2Im", 18, func(a *Attrs) graph.Op {
		return col2im{strides: a.Ints("strides"), dilations: a.Ints("dilations"), pads: a.Ints("pads")}
	})
}

// col2im adds up overlapping blocks to images.
//
//	x: [N, C*(elements of a block), number of blocks], any type of numbers
//	image, block: i64 lists, their shapes of as many dimensions
//	y: [N, C, image...]
//
// Source: ONNX Col2Im-18.
type col2im struct{ strides, dilations, pads []int }

func (col2im) String() string { return "Col2Im" }

// blocks is how the blocks lie in an image.
type blocks struct {
	image, block, counts       tensor.Shape // counts are the blocks in each dimension
	strides, dilations, before []int
}

// largestStep bounds strides, dilations and pads, so that places do not overflow.
const largestStep = 1 << 24

func (c col2im) blocks(in []graph.Fact) (b blocks, err error) {
	if err := checkInputs(in, 3, 3); err != nil {
		return b, err
	}
	if err := checkType("x", in[0].DType, numericTypes...); err != nil {
		return b, err
	}
	image, err := integers(in[1], "image_shape")
	if err != nil {
		return b, err
	}
	block, err := integers(in[2], "block_shape")
	if err != nil {
		return b, err
	}
	r := len(image)
	b = blocks{image: image, block: block, strides: c.strides, dilations: c.dilations}
	if b.strides == nil {
		b.strides = slices.Repeat([]int{1}, r)
	}
	if b.dilations == nil {
		b.dilations = slices.Repeat([]int{1}, r)
	}
	pads := c.pads
	if pads == nil {
		pads = make([]int, 2*r)
	}
	if r == 0 || len(block) != r || len(b.strides) != r || len(b.dilations) != r || len(pads) != 2*r || len(in[0].Shape) != 3 {
		return b, fmt.Errorf("got x%v, image %v, block %v, strides %v, dilations %v and pads %v, want as many dimensions", in[0].Shape, image, block, b.strides, b.dilations, pads)
	}
	b.before = pads[:r]
	for d := range r {
		for _, v := range []int{image[d], block[d], b.strides[d], b.dilations[d]} {
			if v < 1 || v > largestStep {
				return b, fmt.Errorf("%d in image %v, block %v, strides %v or dilations %v, want 1 to %d", v, image, block, b.strides, b.dilations, largestStep)
			}
		}
		for _, v := range []int{pads[d], pads[r+d]} {
			if v < 0 || v > largestStep {
				return b, fmt.Errorf("a pad is %d, want 0 to %d", v, largestStep)
			}
		}
		room := int64(image[d]) + int64(pads[d]) + int64(pads[r+d]) - int64(b.dilations[d])*int64(block[d]-1) - 1
		if room < 0 {
			return b, fmt.Errorf("block %v with dilations %v is larger than the padded image %v", block, b.dilations, image)
		}
		b.counts = append(b.counts, int(room/int64(b.strides[d]))+1)
	}
	for _, s := range []tensor.Shape{b.block, b.counts} {
		if _, err := tensor.CheckType(tensor.Uint8, s, graph.DefaultLimit); err != nil {
			return b, err
		}
	}
	x := in[0].Shape
	if n := b.block.Elems(); x[1]%n != 0 || x[2] != b.counts.Elems() {
		return b, fmt.Errorf("x has shape %v, want [N, multiple of %d, %d]", x, n, b.counts.Elems())
	}
	return b, nil
}

func (c col2im) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(c, d, in)
	}
	b, err := c.blocks(in)
	if err != nil {
		return nil, err
	}
	shape := append(tensor.Shape{in[0].Shape[0], in[0].Shape[1] / b.block.Elems()}, b.image...)
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: shape}}}, nil
}

func (c col2im) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(c, d, in, out)
	}
	b, err := c.blocks(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	switch d := in[0].DType; d {
	case tensor.Float32:
		return col2imKernel[float32](b, out), nil
	case tensor.Float64:
		return col2imKernel[float64](b, out), nil
	default: // sums keep the low bits, signed or not
		switch d.Size() {
		case 1:
			return col2imKernel[uint8](b, out), nil
		case 2:
			return col2imKernel[uint16](b, out), nil
		case 4:
			return col2imKernel[uint32](b, out), nil
		}
		return col2imKernel[uint64](b, out), nil
	}
}

func col2imKernel[T float32 | float64 | uint8 | uint16 | uint32 | uint64](b blocks, out []graph.Fact) graph.Kernel {
	planes, elems, count, size := out[0].Shape[:2].Elems(), b.block.Elems(), b.counts.Elems(), b.image.Elems()
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: planes, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, p int) error {
		x, y := tensor.Cast[T](in[0].Raw)[p*elems*count:][:elems*count], tensor.Cast[T](out[0].Raw)[p*size:][:size]
		clear(y)
		for e := range elems {
			for l := range count {
				if at := b.at(e, l); at >= 0 {
					y[at] += x[e*count+l]
				}
			}
		}
		return nil
	}}}}
}

// at is the place in the image of element e of block l, or -1 in the padding.
func (b *blocks) at(e, l int) int {
	at, step := 0, 1
	for d := len(b.image) - 1; d >= 0; d-- {
		v := l%b.counts[d]*b.strides[d] + e%b.block[d]*b.dilations[d] - b.before[d]
		if v < 0 || v >= b.image[d] {
			return -1
		}
		at += v * step
		step *= b.image[d]
		e, l = e/b.block[d], l/b.counts[d]
	}
	return at
}
