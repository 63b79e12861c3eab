package ops

import (
	"fmt"
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("DeformConv", 19, func(a *Attrs) graph.Op {
		return deformConv{strides: a.Ints("strides"), dilations: a.Ints("dilations"), pads: a.Ints("pads"), kernel: a.Ints("kernel_shape"),
			group: a.Int("group", 1), offsetGroup: a.Int("offset_group", 1)}
	})
}

// deformConv is a convolution in which each tap of the kernel reads x at a place
// of its own: moved by an offset, interpolated linearly between the elements
// around it, which are zero outside of x, and times a mask.
//
//	x:      [N C H W] floating point
//	w:      [K C/group R S] of x's type
//	offset: [N offset_group*R*S*2 P Q], vertical and horizontal in turn
//	bias:   [K], optional
//	mask:   [N offset_group*R*S P Q], optional, ones if omitted
//	y:      [N K P Q]
//
// Sums are taken in float64. Other than two spatial dimensions are not supported.
//
// Source: ONNX DeformConv-19, -22.
type deformConv struct {
	strides, dilations, pads, kernel []int
	group, offsetGroup               int
}

func (deformConv) String() string { return "DeformConv" }

// spatial2 returns two numbers of an attribute, by default both missing.
func spatial2(name string, list []int, missing, least int) ([2]int, error) {
	if list == nil {
		return [2]int{missing, missing}, nil
	}
	if len(list) != 2 || min(list[0], list[1]) < least || max(list[0], list[1]) > math.MaxInt32 {
		return [2]int{}, fmt.Errorf("attribute %q is %v, want 2 numbers of at least %d", name, list, least)
	}
	return [2]int(list), nil
}

// deformPlan is a deformConv for inputs of certain shapes.
type deformPlan struct {
	stride, dilation, begin    [2]int
	x, w, y                    tensor.Shape
	perGroup, outputs, offsets int // channels of x and of y in a group, and of x in a group of offsets
}

func (d deformConv) plan(in []graph.Fact) (p deformPlan, err error) {
	if err := checkInputs(in, 3, 5); err != nil {
		return p, err
	}
	if err := checkType("x", in[0].DType, floatTypes...); err != nil {
		return p, err
	}
	for i, f := range in {
		if !f.Missing() && f.DType != in[0].DType {
			return p, fmt.Errorf("input %d is %v, want %v", i, f.DType, in[0].DType)
		}
	}
	p.x, p.w = in[0].Shape, in[1].Shape
	if len(p.x) != 4 || len(p.w) != 4 {
		return p, fmt.Errorf("%w: x%v and w%v, want [N C H W] and [K C/group R S]", ErrUnsupported, p.x, p.w)
	}
	if p.stride, err = spatial2("strides", d.strides, 1, 1); err != nil {
		return p, err
	}
	if p.dilation, err = spatial2("dilations", d.dilations, 1, 1); err != nil {
		return p, err
	}
	if d.kernel != nil && !slices.Equal(d.kernel, p.w[2:]) {
		return p, fmt.Errorf("attribute %q is %v, want %v as w", "kernel_shape", d.kernel, p.w[2:])
	}
	ends := [2]int{}
	if d.pads != nil {
		if len(d.pads) != 4 {
			return p, fmt.Errorf("attribute %q is %v, want 4 numbers", "pads", d.pads)
		}
		if p.begin, err = spatial2("pads", d.pads[:2], 0, 0); err != nil {
			return p, err
		}
		if ends, err = spatial2("pads", d.pads[2:], 0, 0); err != nil {
			return p, err
		}
	}
	c, k := p.x[1], p.w[0]
	if d.group < 1 || d.offsetGroup < 1 || c%d.group != 0 || k%d.group != 0 || c%d.offsetGroup != 0 || p.w[1] != c/d.group || p.w[2] < 1 || p.w[3] < 1 {
		return p, fmt.Errorf("x%v and w%v do not fit %d groups and %d of offsets", p.x, p.w, d.group, d.offsetGroup)
	}
	p.perGroup, p.outputs, p.offsets = c/d.group, k/d.group, c/d.offsetGroup
	p.y = tensor.Shape{p.x[0], k, 0, 0}
	for i := range 2 {
		room := int64(p.x[2+i]) + int64(p.begin[i]) + int64(ends[i]) - int64(p.w[2+i]-1)*int64(p.dilation[i]) - 1
		if room < 0 || room/int64(p.stride[i]) >= math.MaxInt32 {
			return p, fmt.Errorf("the kernel is larger than the padded x along dimension %d", 2+i)
		}
		p.y[2+i] = int(room)/p.stride[i] + 1
	}
	taps, err := product(d.offsetGroup, p.w[2:].Elems())
	if err != nil || taps > math.MaxInt32/2 {
		return p, fmt.Errorf("%d groups of offsets are too many", d.offsetGroup)
	}
	if err := checkShape("offset", in[2], p.x[0], 2*taps, p.y[2], p.y[3]); err != nil {
		return p, err
	}
	if f := input(in, 3); !f.Missing() {
		if err := checkShape("bias", f, k); err != nil {
			return p, err
		}
	}
	if f := input(in, 4); !f.Missing() {
		return p, checkShape("mask", f, p.x[0], taps, p.y[2], p.y[3])
	}
	return p, nil
}

func (d deformConv) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if h := halfType(in); h.Valid() {
		return inferHalf(d, h, in)
	}
	p, err := d.plan(in)
	return []graph.Fact{{Type: tensor.Type{DType: input(in, 0).DType, Shape: p.y}}}, err
}

// tapWork is what an interpolated element counts for.
const tapWork = 10

func (d deformConv) FLOPs(in, out []graph.Fact) int64 {
	return flops(tapWork, out[0].Shape.Elems(), in[1].Shape[1:].Elems())
}

func (d deformConv) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if h := halfType(in); h.Valid() {
		return compileHalf(d, h, in, out)
	}
	p, err := d.plan(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	if in[0].DType == tensor.Float64 {
		return deformKernel[float64](p), nil
	}
	return deformKernel[float32](p), nil
}

// deformKernel computes the results of one group at a place after another: a
// group's taps are read once for all its results.
func deformKernel[T float32 | float64](p deformPlan) graph.Kernel {
	groups, positions, taps := p.w[0]/max(p.outputs, 1), p.y[2]*p.y[3], p.w[2]*p.w[3]
	items := p.y[0] * groups * positions
	if p.y.Elems() == 0 {
		return graph.Kernel{Info: "empty"}
	}
	columns := p.perGroup * taps
	count := chunks(items, scalarTime*float64(columns*(tapWork+p.outputs)))
	return graph.Kernel{Info: "generic go", Scratch: columns * tensor.Float64.Size(), Steps: []graph.Step{{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, w, offset, y := tensor.Cast[T](in[0].Raw), tensor.Cast[T](in[1].Raw), tensor.Cast[T](in[2].Raw), tensor.Cast[T](out[0].Raw)
		var bias, mask []T
		if t := operand(in, 3); t != nil {
			bias = tensor.Cast[T](t.Raw)
		}
		if t := operand(in, 4); t != nil {
			mask = tensor.Cast[T](t.Raw)
		}
		read := tensor.Cast[float64](e.Scratch)[:columns]
		area := p.x[2] * p.x[3]
		perImage := p.x[1] / max(p.offsets, 1) * taps // of the mask
		lo, hi := span(items, count, i, 1)
		for item := lo; item < hi; item++ {
			at, g, image := item%positions, item/positions%groups, item/positions/groups
			top, left := at/p.y[3]*p.stride[0]-p.begin[0], at%p.y[3]*p.stride[1]-p.begin[1]
			for k := range columns {
				channel, tap := g*p.perGroup+k/taps, k%taps
				place := (image*perImage+channel/p.offsets*taps+tap)*2*positions + at
				row := float64(top+tap/p.w[3]*p.dilation[0]) + float64(offset[place])
				col := float64(left+tap%p.w[3]*p.dilation[1]) + float64(offset[place+positions])
				v := bilinear(x[(image*p.x[1]+channel)*area:][:area], p.x[2], p.x[3], row, col)
				if mask != nil {
					v *= float64(mask[(image*perImage+channel/p.offsets*taps+tap)*positions+at])
				}
				read[k] = v
			}
			for o := range p.outputs {
				k, sum := g*p.outputs+o, 0.0
				for c, v := range w[k*columns:][:columns] {
					sum += float64(float64(v) * read[c])
				}
				if bias != nil {
					sum += float64(bias[k])
				}
				y[(image*p.y[1]+k)*positions+at] = T(sum)
			}
		}
		return nil
	}}}}
}

// bilinear is the value at a place between the elements of a plane, which is
// zero outside.
func bilinear[T float32 | float64](x []T, h, w int, row, col float64) float64 {
	if !(row > -1 && col > -1 && row < float64(h) && col < float64(w)) {
		return 0
	}
	r, c := math.Floor(row), math.Floor(col)
	at := func(i, j int) float64 {
		if i < 0 || j < 0 || i >= h || j >= w {
			return 0
		}
		return float64(x[i*w+j])
	}
	i, j, dr, dc := int(r), int(c), row-r, col-c
	upper := float64(at(i, j)*(1-dc)) + float64(at(i, j+1)*dc)
	lower := float64(at(i+1, j)*(1-dc)) + float64(at(i+1, j+1)*dc)
	return float64(upper*(1-dr)) + float64(lower*dr)
}
