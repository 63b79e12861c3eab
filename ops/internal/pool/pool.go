// Package pool computes 2-D maximum and average pooling of float32 images.
//
// It knows slices and integers, not tensors, operators or threads. Images are row-major, [N][C][H][W], or blocked,
// NCHW16c: [N][ceil(C/16)][H][W][16], where the lanes of missing channels are zero in the input and in the output.
//
// Every output value is reduced from its window row by row, left to right, by one chain of operations (but for the
// long rows of averages of row-major images, which vec.Sum adds up), so that its bits depend neither on chunks nor on
// the instruction set.
package pool

import (
	"fmt"
	"math"

	"scission/ops/internal/vec"
)

// Kind says how a window is reduced.
type Kind uint8

const (
	// Max is the maximum. It starts with -Inf, and each value x of the window in turn replaces m unless m > x. So a
	// NaN is the result if it is the window's last value, and otherwise hides those before it: what the maximum
	// instruction of amd64 does, and with it ONNX Runtime. A window outside of the image gives -Inf.
	Max Kind = iota

	// MaxWithZeros is Max of windows in which the padding counts as zeros.
	MaxWithZeros

	// Avg is the sum divided by the number of values; the padding counts as nothing. A window outside of the image
	// gives 0.
	Avg

	// AvgIncludePad is the sum divided by the number of values and of padding positions in the window. Where a window
	// goes on behind the padding, as ONNX's ceil_mode lets it, those positions do not count.
	AvgIncludePad
)

// String returns the name of the kind.
func (k Kind) String() string {
	if names := [...]string{Max: "max", MaxWithZeros: "max with zeros", Avg: "avg", AvgIncludePad: "avg with padding"}; int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("pool.Kind(%d)", uint8(k))
}

// Shape is the geometry: images of C channels and IH×IW positions to OH×OW positions. Output position (y, x) has the
// window of input positions (y·StrideH - PadTop + r·DilationH, x·StrideW - PadLeft + c·DilationW) for r < KH, c < KW.
// PadBottom and PadRight matter to AvgIncludePad and MaxWithZeros only. Less than no padding takes positions of the
// image away.
type Shape struct {
	N, C, IH, IW, OH, OW                 int
	KH, KW, StrideH, StrideW             int
	DilationH, DilationW                 int
	PadTop, PadLeft, PadBottom, PadRight int
}

// lanes is the number of channels in a block of NCHW16c.
const lanes = vec.Lanes

// Kernel is a pooling of a given shape. It is immutable; concurrent Runs are allowed.
type Kernel struct {
	im         *impl
	s          Shape
	kind       Kind
	blocked    bool
	window     windowFunc // for blocked images
	y, x       []axis     // what each output row and column has of its window
	x0, x1     int        // the output columns whose windows have all of their columns
	planes     int        // images times channels, or blocks of channels
	lanes      int        // of a plane
	cut, split int        // planes of a chunk; chunks of a plane, if it is cut into rows
}

// axis is the part of a window that lies in the image, in one dimension.
type axis struct {
	from  int // input position of the first, 0 if there is none
	n     int // how many positions
	count int // how many positions an average divides by
}

// longRow is the number of values of a window's row from which vec.Sum is faster than one chain.
const longRow = 32

// chunkWork is the number of window values that make a chunk worth its start.
const chunkWork = 1 << 15

// New returns the kernel for images of shape s, blocked as NCHW16c or row-major. It panics if a size of the window, a
// stride or a dilation is less than 1 or anything else is negative.
func New(s Shape, kind Kind, blocked bool) *Kernel { return newKernel(best, s, kind, blocked) }

// NewGlobalAvg returns the kernel that averages each of n images' c channels over its hw positions: from
// [n][ceil(c/16)][hw][16] to [n][ceil(c/16)][16] if blocked, from [n][c][hw] to [n][c] otherwise. The average of no
// position is 0.
func NewGlobalAvg(n, c, hw int, blocked bool) *Kernel { return New(global(n, c, hw), Avg, blocked) }

// global is the shape of a window as large as the image.
func global(n, c, hw int) Shape {
	return Shape{N: n, C: c, IH: 1, IW: hw, OH: 1, OW: 1, KH: 1, KW: max(1, hw), StrideH: 1, StrideW: 1,
		DilationH: 1, DilationW: 1}
}

func newKernel(im *impl, s Shape, kind Kind, blocked bool) *Kernel {
	if min(s.KH, s.KW, s.StrideH, s.StrideW, s.DilationH, s.DilationW) < 1 ||
		min(s.N, s.C, s.IH, s.IW, s.OH, s.OW) < 0 {
		panic(fmt.Sprintf("pool: shape %+v, want windows, strides and dilations of at least 1 and no negative size", s))
	}
	k := &Kernel{im: im, s: s, kind: kind, blocked: blocked, planes: s.N * s.C, lanes: 1, window: im.avg}
	if blocked {
		k.planes, k.lanes = s.N*ceil(s.C, lanes), lanes
	}
	if kind <= MaxWithZeros {
		k.window = im.max
	}
	k.y = axes(s.OH, s.IH, s.KH, s.StrideH, s.DilationH, s.PadTop, s.PadBottom, kind)
	k.x = axes(s.OW, s.IW, s.KW, s.StrideW, s.DilationW, s.PadLeft, s.PadRight, kind)
	for k.x0 < s.OW && k.x[k.x0].n < s.KW {
		k.x0++
	}
	for k.x1 = k.x0; k.x1 < s.OW && k.x[k.x1].n == s.KW; {
		k.x1++
	}
	work := max(1, s.OH*s.OW*k.lanes*s.KH*s.KW)
	k.cut = max(1, chunkWork/work)
	k.split = max(1, min(s.OH, work/chunkWork))
	return k
}

// axes returns what each of out windows has of in positions.
func axes(out, in, window, stride, dilation, before, after int, kind Kind) []axis {
	a := make([]axis, out)
	for o := range a {
		first := o*stride - before
		skip := 0
		if first < 0 {
			skip = ceil(-first, dilation)
		}
		n := min(window, max(0, ceil(in-first, dilation))) - skip
		if n > 0 {
			a[o] = axis{from: first + skip*dilation, n: n, count: n}
		}
		if kind == AvgIncludePad {
			a[o].count = min(window, max(0, ceil(in+after-first, dilation)))
		}
	}
	return a
}

// Info describes the kernel for plan dumps.
func (k *Kernel) Info() string {
	layout := "nchw"
	if k.blocked {
		layout = "nchw16c " + k.im.name
	}
	return fmt.Sprintf("pool %s %dx%d %s", k.kind, k.s.KH, k.s.KW, layout)
}

// Temp returns how many float32s of memory, shared by all chunks of a run, Run wants.
func (k *Kernel) Temp() int { return 0 }

// Scratch returns how many float32s of memory of its own each concurrently running chunk wants.
func (k *Kernel) Scratch() int {
	if k.kind != MaxWithZeros {
		return 0
	}
	return k.s.KH * k.s.KW * k.lanes
}

// Steps returns the number of steps of a run.
func (k *Kernel) Steps() int { return 1 }

// Chunks returns the number of chunks of a step. It does not depend on the number of threads.
func (k *Kernel) Chunks(step int) int {
	if k.s.OH*k.s.OW == 0 {
		return 0
	}
	return ceil(k.planes, k.cut) * k.split
}

// Run computes one chunk of one step, from the images in to the images out. temp is not used. It allocates nothing and
// panics if a slice is too short.
func (k *Kernel) Run(step, chunk int, temp, scratch, in, out []float32) {
	inPlane, outPlane := k.s.IH*k.s.IW*k.lanes, k.s.OH*k.s.OW*k.lanes
	need("input", len(in), k.planes*inPlane)
	need("output", len(out), k.planes*outPlane)
	first, part := chunk/k.split*k.cut, chunk%k.split
	y0, y1 := part*k.s.OH/k.split, (part+1)*k.s.OH/k.split
	for p := first; p < min(first+k.cut, k.planes); p++ {
		in, out := in[p*inPlane:][:inPlane], out[p*outPlane:][:outPlane]
		for y := y0; y < y1; y++ {
			row := out[y*k.s.OW*k.lanes:][:k.s.OW*k.lanes]
			if k.blocked {
				k.blockedRow(row, in, scratch, y, min(lanes, k.s.C-p%ceil(k.s.C, lanes)*lanes))
			} else {
				k.plainRow(row, in, scratch, y)
			}
		}
	}
}

// blockedRow computes row y of a block with the given number of channels.
func (k *Kernel) blockedRow(out, in, scratch []float32, y, channels int) {
	row := k.y[y]
	for x := 0; x < len(k.x); {
		col, n := k.x[x], 1
		if k.kind == MaxWithZeros && (row.n < k.s.KH || col.n < k.s.KW) {
			if count := k.gather(scratch, in, y, x); count > 0 {
				k.window(out[x*lanes:][:lanes], scratch, 1, 0, 1, 0, count, lanes, 1)
			} else {
				fill(out[x*lanes:][:lanes], k.kind, channels)
			}
		} else if row.n == 0 || col.n == 0 {
			fill(out[x*lanes:][:lanes], k.kind, channels)
		} else {
			if x == k.x0 && x < k.x1 {
				n = k.x1 - x
			}
			k.window(out[x*lanes:][:n*lanes], in[(row.from*k.s.IW+col.from)*lanes:], n, k.s.StrideW*lanes,
				row.n, k.s.DilationH*k.s.IW*lanes, col.n, k.s.DilationW*lanes, float32(row.count*col.count))
		}
		x += n
	}
}

// gather copies the window of output (y, x) of a plane, with zeros for the padding, to w and returns how many positions
// it has.
func (k *Kernel) gather(w, in []float32, y, x int) (count int) {
	s := &k.s
	for r := range s.KH {
		i := y*s.StrideH - s.PadTop + r*s.DilationH
		for c := range s.KW {
			j := x*s.StrideW - s.PadLeft + c*s.DilationW
			if i >= s.IH+s.PadBottom || j >= s.IW+s.PadRight {
				continue
			}
			to := w[count*k.lanes:][:k.lanes]
			if i < 0 || i >= s.IH || j < 0 || j >= s.IW {
				clear(to)
			} else {
				copy(to, in[(i*s.IW+j)*k.lanes:])
			}
			count++
		}
	}
	return count
}

// fill sets a position's channels to the result of a window outside of the image.
func fill(out []float32, kind Kind, channels int) {
	clear(out)
	if kind <= MaxWithZeros {
		for i := range out[:channels] {
			out[i] = -inf
		}
	}
}

// plainRow computes row y of a row-major channel.
func (k *Kernel) plainRow(out, in, scratch []float32, y int) {
	row := k.y[y]
	for x := range out {
		col := k.x[x]
		switch {
		case k.kind == MaxWithZeros && (row.n < k.s.KH || col.n < k.s.KW):
			m := -inf
			for _, v := range scratch[:k.gather(scratch, in, y, x)] {
				if !(m > v) {
					m = v
				}
			}
			out[x] = m
		case row.n == 0 || col.n == 0:
			fill(out[x:x+1], k.kind, 1)
		case k.kind <= MaxWithZeros:
			m := -inf
			for r := range row.n {
				at := (row.from+r*k.s.DilationH)*k.s.IW + col.from
				for range col.n {
					if v := in[at]; !(m > v) {
						m = v
					}
					at += k.s.DilationW
				}
			}
			out[x] = m
		default:
			var sum float32
			for r := range row.n {
				at := (row.from+r*k.s.DilationH)*k.s.IW + col.from
				if k.s.DilationW == 1 && col.n >= longRow {
					sum += vec.Sum(in[at:][:col.n])
					continue
				}
				for range col.n {
					sum += in[at]
					at += k.s.DilationW
				}
			}
			out[x] = sum / float32(row.count*col.count)
		}
	}
}

var inf = float32(math.Inf(1))

func ceil(a, b int) int { return (a + b - 1) / b }

// need panics if a slice called name has fewer than want values.
func need(name string, got, want int) {
	if got < want {
		panic(fmt.Sprintf("pool: %s has %d values, want %d", name, got, want))
	}
}
