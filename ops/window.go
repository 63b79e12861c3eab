package ops

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"scission/engine/tensor"
)

// window is how a kernel slides over the spatial dimensions of [N C D1 D2 ...],
// as the attributes of convolutions and pools say it. A nil list means its
// default for every dimension.
type window struct {
	strides   []int
	dilations []int
	pads      []int // before each dimension, then behind each; used with autoPad NOTSET only
	autoPad   string
	ceilMode  bool // count a last step that goes beyond the padded input
}

func windowOf(a *Attrs) window {
	w := window{
		strides:   a.Ints("strides"),
		dilations: a.Ints("dilations"),
		pads:      a.Ints("pads"),
		autoPad:   a.String("auto_pad", "NOTSET"),
	}
	switch w.autoPad {
	case "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER":
	default:
		a.Fail("%w auto_pad %q", ErrUnsupported, w.autoPad)
	}
	return w
}

// slide is one spatial dimension of a sliding window. Output o and place k of
// the kernel meet at input o*stride + k*dilation - before, which lies in the
// padding where it is negative or not less than in.
type slide struct {
	in, out, kernel  int
	stride, dilation int
	before, behind   int // padding; what lies beyond it is not even that
}

// extent is how many places of the input the kernel spans.
func (s *slide) extent() int { return (s.kernel-1)*s.dilation + 1 }

// taps returns the range of the kernel that meets the input at output o.
func (s *slide) taps(o int) (from, to int) {
	first := o*s.stride - s.before
	if first < 0 {
		from = min(s.kernel, ceil(-first, s.dilation))
	}
	return from, max(from, min(s.kernel, ceil(max(0, s.in-first), s.dilation)))
}

// outputs returns the range of outputs at which place k of the kernel meets
// the input.
func (s *slide) outputs(k int) (from, to int) {
	first := k*s.dilation - s.before // the input at output 0
	if first < 0 {
		from = min(s.out, ceil(-first, s.stride))
	}
	return from, max(from, min(s.out, ceil(max(0, s.in-first), s.stride)))
}

// part returns the window that gives outputs [from, to) of s from the inputs
// [first, end), which are all that these outputs meet; ok is false where that is
// none. Padding is left only at the ends of s.
func (s *slide) part(from, to int) (p slide, first, end int, ok bool) {
	start := from*s.stride - s.before
	stop := (to-1)*s.stride - s.before + s.extent()
	first, end = max(0, start), min(s.in, stop)
	if first >= end {
		return p, 0, 0, false
	}
	p = *s
	p.in, p.out = end-first, to-from
	p.before, p.behind = first-start, max(0, min(stop, s.in+s.behind)-s.in)
	return p, first, end, true
}

// of returns the window whose movement over two dimensions s is.
func (w window) of(s []slide) window {
	w.autoPad = "NOTSET"
	w.pads = []int{s[0].before, s[1].before, s[0].behind, s[1].behind}
	return w
}

// slides returns the window's movement over the spatial dimensions in for a
// kernel of the given lengths. Every number in it, and every sum and product
// that its methods form, is within an int.
func (w *window) slides(in, kernel []int) ([]slide, error) {
	rank := len(in)
	if len(kernel) != rank {
		return nil, fmt.Errorf("kernel has %d dimensions, want %d", len(kernel), rank)
	}
	kernel, err := windowList("kernel_shape", kernel, rank, 1, 1)
	if err != nil {
		return nil, err
	}
	strides, err := windowList("strides", w.strides, rank, 1, 1)
	if err != nil {
		return nil, err
	}
	dilations, err := windowList("dilations", w.dilations, rank, 1, 1)
	if err != nil {
		return nil, err
	}
	pads := w.pads
	if w.autoPad != "NOTSET" {
		pads = nil
	}
	if pads, err = windowList("pads", pads, 2*rank, 0, 0); err != nil {
		return nil, err
	}
	s := make([]slide, rank)
	for i := range s {
		if s[i], err = w.slide(in[i], kernel[i], strides[i], dilations[i], pads[i], pads[rank+i]); err != nil {
			return nil, fmt.Errorf("spatial dimension %d: %w", i, err)
		}
	}
	return s, nil
}

// windowList returns the values of an attribute of a window, want of them: each
// is missing if there are none, and else least to MaxInt32.
func windowList(name string, values []int, want, missing, least int) ([]int, error) {
	if values == nil {
		values = make([]int, want)
		for i := range values {
			values[i] = missing
		}
	}
	if len(values) != want {
		return nil, fmt.Errorf("%s has %d values, want %d", name, len(values), want)
	}
	for _, v := range values {
		if v < least || v > math.MaxInt32 {
			return nil, fmt.Errorf("%s has %d, want %d to %d", name, v, least, math.MaxInt32)
		}
	}
	return values, nil
}

// slide computes one dimension. Its arguments are at most MaxInt32.
func (w *window) slide(in, kernel, stride, dilation, before, behind int) (slide, error) {
	extent := (int64(kernel)-1)*int64(dilation) + 1
	n, step := int64(in), int64(stride)
	b, e := int64(before), int64(behind)
	var out int64
	if strings.HasPrefix(w.autoPad, "SAME") {
		out = (n + step - 1) / step
		all := max(0, (out-1)*step+extent-n)
		b, e = all/2, all-all/2
		if w.autoPad == "SAME_LOWER" {
			b, e = e, b
		}
	} else {
		room := n + b + e - extent
		if room < 0 {
			return slide{}, fmt.Errorf("kernel spans %d, padded input has %d (%d + %d + %d)", extent, n+b+e, b, n, e)
		}
		out = room/step + 1
		if w.ceilMode && room%step > 0 && out*step < n+b {
			out++ // unless it would begin behind the input
		}
	}
	if reach := max(extent, (out-1)*step+extent, n+b+e); reach > math.MaxInt32 {
		return slide{}, fmt.Errorf("window reaches over %d elements, want at most %d", reach, math.MaxInt32)
	}
	return slide{
		in: in, out: int(out), kernel: kernel, stride: stride, dilation: dilation, before: int(b), behind: int(e),
	}, nil
}

// windowShape returns the shape [n c] with the outputs of the slides.
func windowShape(n, c int, slides []slide) tensor.Shape {
	s := tensor.Shape{n, c}
	for i := range slides {
		s = append(s, slides[i].out)
	}
	return s
}

// describe writes the window for a kernel as "3x3,s2,d2", without strides and
// dilations of 1.
func (w *window) describe(kernel []int) string {
	var parts []string
	if len(kernel) > 0 {
		parts = append(parts, times(kernel))
	}
	for _, p := range []struct {
		name   string
		values []int
	}{{"s", w.strides}, {"d", w.dilations}} {
		switch v := p.values; {
		case len(v) == 0:
		case slices.Min(v) != slices.Max(v):
			parts = append(parts, p.name+times(v))
		case v[0] != 1:
			parts = append(parts, fmt.Sprint(p.name, v[0]))
		}
	}
	return strings.Join(parts, ",")
}

// times writes lengths as "3x3".
func times(lengths []int) string {
	var parts []string
	for _, n := range lengths {
		parts = append(parts, fmt.Sprint(n))
	}
	return strings.Join(parts, "x")
}
