package ops

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/vec"
)

func init() {
	register("Upsample", 7, func(a *Attrs) graph.Op { return oldResize(a, "Upsample", "floor", a.Floats("scales")) })
	register("Upsample", 9, func(a *Attrs) graph.Op { return oldResize(a, "Upsample", "floor", nil) })
	register("Resize", 10, func(a *Attrs) graph.Op { return oldResize(a, "Resize", "inwards", nil) })
	register("Resize", 11, func(a *Attrs) graph.Op {
		r := resize{name: "Resize", mode: a.String("mode", "nearest"), coordinates: a.String("coordinate_transformation_mode", "half_pixel"),
			nearest: a.String("nearest_mode", "round_prefer_floor"), cubic: float64(a.Float("cubic_coeff_a", -0.75)),
			excludeOutside: a.Int("exclude_outside", 0) != 0, extrapolation: float64(a.Float("extrapolation_value", 0)), roiInput: true}
		if a.Version() >= 18 {
			r.antialias, r.axes, r.policy = a.Int("antialias", 0) != 0, a.Ints("axes"), a.String("keep_aspect_ratio_policy", "stretch")
		}
		if !slices.Contains([]string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}, r.nearest) {
			a.Fail("%w %q in attribute %q", ErrUnsupported, r.nearest, "nearest_mode")
		}
		return r.checked(a)
	})
}

// oldResize makes the operator of older opsets. Its nearest element is left open
// there: "inwards", which is what ONNX Runtime and the official cases take for
// Resize-10, is the next lower one, or the next higher one where x gets shorter.
func oldResize(a *Attrs, name, nearest string, scales []float32) graph.Op {
	return resize{name: name, mode: a.String("mode", "nearest"), coordinates: "asymmetric", nearest: nearest, scales: scales}.checked(a)
}

// resize gives x other lengths by interpolation: Resize and Upsample.
//
//	x, y:          numbers; with mode nearest any type
//	roi:           a constant; read with tf_crop_and_resize only
//	scales, sizes: constants, one of them; sizes since opset 11
//
// It is computed in float64 and rounded once; integers drop the fraction.
//
// Source: ONNX Upsample-7, -9, Resize-10, -11, -13, -18, -19.
type resize struct {
	name, mode, coordinates, nearest, policy string
	cubic, extrapolation                     float64
	excludeOutside, antialias, roiInput      bool
	axes                                     []int
	scales                                   []float32 // of Upsample-7
}

func (r resize) checked(a *Attrs) graph.Op {
	for _, c := range []struct {
		name, value string
		want        []string
	}{
		{"mode", r.mode, []string{"nearest", "linear", "cubic"}},
		{"coordinate_transformation_mode", r.coordinates, []string{"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize"}},
		{"keep_aspect_ratio_policy", r.policy, []string{"", "stretch", "not_larger", "not_smaller"}},
	} {
		if !slices.Contains(c.want, c.value) {
			a.Fail("%w %q in attribute %q", ErrUnsupported, c.value, c.name)
		}
	}
	return r
}

func (r resize) String() string { return fmt.Sprintf("%s[%s,%s]", r.name, r.mode, r.coordinates) }

// resized is one dimension of a resize.
type resized struct {
	in, out  int
	scale    float64
	from, to float64 // the region of interest
}

// list returns the values of a constant input of floating point.
func (resize) list(f graph.Fact, name string) ([]float64, error) {
	if f.Missing() {
		return nil, nil
	}
	if err := checkType(name, f.DType, realTypes...); err != nil {
		return nil, err
	}
	if f.Const == nil {
		return nil, late(name)
	}
	read, list := floatAt(f.DType), make([]float64, f.Shape.Elems())
	for i := range list {
		list[i] = read(f.Const.Raw, i)
	}
	return list, nil
}

// dims returns what becomes of each dimension.
func (r resize) dims(in []graph.Fact) ([]resized, error) {
	x := in[0].Shape
	dims := make([]resized, len(x))
	for i, n := range x {
		dims[i] = resized{n, n, 1, 0, 1}
	}
	axes := make([]int, len(x))
	for i := range axes {
		axes[i] = i
	}
	if r.axes != nil {
		set, err := axisSet(r.axes, len(x))
		if err != nil {
			return nil, err
		}
		axes = axes[:0]
		for _, a := range r.axes {
			axes = append(axes, (a+len(set))%len(set))
		}
	}
	at := 1 // of scales
	if r.roiInput {
		at = 2
	}
	scales, err := r.list(input(in, at), "scales")
	if err != nil {
		return nil, err
	}
	for _, s := range r.scales {
		scales = append(scales, float64(s))
	}
	var sizes []int
	if f := input(in, 3); !f.Missing() {
		if sizes, err = integers(f, "sizes"); err != nil {
			return nil, err
		}
	}
	if (len(scales) == 0) == (len(sizes) == 0) && len(x) > 0 {
		return nil, errors.New("want either scales or sizes")
	}
	if n := max(len(scales), len(sizes)); n != len(axes) {
		return nil, fmt.Errorf("got %d scales or sizes, want %d", n, len(axes))
	}
	if r.coordinates == "tf_crop_and_resize" {
		roi, err := r.list(input(in, 1), "roi")
		if err != nil {
			return nil, err
		}
		if len(roi) != 2*len(axes) {
			return nil, fmt.Errorf("roi has %d elements, want %d", len(roi), 2*len(axes))
		}
		for i, a := range axes {
			dims[a].from, dims[a].to = roi[i], roi[len(axes)+i]
		}
	}
	return dims, r.measure(dims, axes, scales, sizes)
}

// measure sets the lengths and scales of the dimensions that axes lists.
func (r resize) measure(dims []resized, axes []int, scales []float64, sizes []int) error {
	uniform := 0.0
	if len(sizes) > 0 && (r.policy == "not_larger" || r.policy == "not_smaller") {
		for i, a := range axes {
			s := float64(sizes[i]) / float64(dims[a].in)
			if i == 0 || (r.policy == "not_larger") == (s < uniform) {
				uniform = s
			}
		}
	}
	for i, a := range axes {
		d := &dims[a]
		out := 0.0
		switch {
		case uniform != 0:
			d.scale, out = uniform, math.Floor(uniform*float64(d.in)+0.5)
		case len(sizes) > 0:
			d.scale, out = float64(sizes[i])/float64(d.in), float64(sizes[i])
		default:
			d.scale = scales[i]
			out = math.Floor(float64(d.in) * (d.to - d.from) * d.scale)
		}
		if !(out >= 0 && out <= math.MaxInt32) || out > 0 && d.in == 0 || !(d.scale > 0) && out > 0 {
			return fmt.Errorf("dimension %d of length %d becomes %v with scale %v", a, d.in, out, d.scale)
		}
		d.out = int(out)
	}
	return nil
}

func (r resize) Infer(in []graph.Fact) ([]graph.Fact, error) {
	most := 2
	if r.roiInput {
		most = 4
	} else if r.scales != nil {
		most = 1
	}
	if err := checkInputs(in, 1, most); err != nil {
		return nil, err
	}
	if r.mode != "nearest" {
		if err := checkType("x", in[0].DType, numericTypes...); err != nil {
			return nil, err
		}
	}
	dims, err := r.dims(in)
	if err != nil {
		return nil, err
	}
	shape := make(tensor.Shape, len(dims))
	for i, d := range dims {
		shape[i] = d.out
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: shape}}}, nil
}

func (r resize) FLOPs(in, out []graph.Fact) int64 { return flops(mathWork, out[0].Shape.Elems()) }

// original returns the coordinate in x of output o.
func (r resize) original(d resized, o int) float64 {
	at, in, out := float64(o), float64(d.in), float64(d.out)
	switch r.coordinates {
	case "align_corners":
		// The reference takes the length before it is rounded down, so the official cases do.
		if width := d.scale * in; math.Abs(width-out) > 1e-6*out {
			out = width
		}
		if d.out == 1 {
			return 0
		}
		return at * (in - 1) / (out - 1)
	case "asymmetric":
		return at / d.scale
	case "tf_half_pixel_for_nn":
		return (at + 0.5) / d.scale
	case "tf_crop_and_resize":
		if d.out == 1 {
			return (d.from + d.to) * (in - 1) / 2
		}
		return d.from*(in-1) + at*(d.to-d.from)*(in-1)/(out-1)
	case "pytorch_half_pixel":
		if d.out == 1 {
			return -0.5
		}
	case "half_pixel_symmetric":
		return in/2*(1-out/(d.scale*in)) + (at+0.5)/d.scale - 0.5
	}
	return (at+0.5)/d.scale - 0.5
}

// tap is an element of x that an output reads, and its weight.
type tap struct {
	at     int
	weight float64
}

// tapsOf returns what output o of a dimension reads; outside says that it is
// outside of the region of interest.
func (r resize) tapsOf(d resized, o int) (taps []tap, outside bool) {
	if d.in == d.out && d.scale == 1 && r.coordinates != "tf_crop_and_resize" {
		return []tap{{o, 1}}, false
	}
	x := r.original(d, o)
	outside = r.coordinates == "tf_crop_and_resize" && (x < 0 || x > float64(d.in-1))
	clamp := func(i float64) int { return int(min(max(i, 0), float64(d.in-1))) }
	if r.mode == "nearest" {
		nearest := r.nearest
		if nearest == "inwards" {
			if nearest = "floor"; d.scale < 1 {
				nearest = "ceil"
			}
		}
		switch nearest {
		case "floor":
			x = math.Floor(x)
		case "ceil":
			x = math.Ceil(x)
		case "round_prefer_ceil":
			x = math.Floor(x + 0.5)
		default:
			x = math.Ceil(x - 0.5)
		}
		return []tap{{clamp(x), 1}}, outside
	}
	scale, reach := 1.0, 1.0
	if r.antialias {
		scale = min(1, d.scale)
	}
	if r.mode == "cubic" {
		reach = 2
	}
	base, sum := math.Floor(x), 0.0
	first := math.Floor(-reach/scale) + 1
	for i := first; i <= 1-first; i++ {
		w := r.weight(math.Abs(base+i-x) * scale)
		if r.excludeOutside && (base+i < 0 || base+i > float64(d.in-1)) {
			continue
		}
		taps, sum = append(taps, tap{clamp(base + i), w}), sum+w
	}
	if r.antialias || r.excludeOutside {
		for i := range taps {
			taps[i].weight /= sum
		}
	}
	return taps, outside
}

// weight is that of an element at a distance.
func (r resize) weight(t float64) float64 {
	a := r.cubic
	switch {
	case r.mode == "linear":
		return max(0, 1-t)
	case t <= 1:
		return ((a+2)*t-(a+3))*t*t + 1
	case t < 2:
		return ((t-5)*t+8)*t*a - 4*a
	}
	return 0
}

// maxTaps bounds the elements that the outputs of one dimension read.
const maxTaps = 1 << 24

func (r resize) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	dims, err := r.dims(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	if out[0].Shape.Elems() == 0 {
		return graph.Kernel{Info: "empty"}, nil
	}
	p := resizePlan{shape: out[0].Shape, dims: make([][]resizedTaps, len(dims)), extrapolation: r.extrapolation, most: 1}
	step := 1
	for i := len(dims) - 1; i >= 0; i-- {
		if perOutput := 2 * (2/min(1, dims[i].scale) + 1); perOutput*float64(dims[i].out) > maxTaps {
			return graph.Kernel{}, fmt.Errorf("%w scale %v of length %d", ErrUnsupported, dims[i].scale, dims[i].in)
		}
		most := 0
		for o := range dims[i].out {
			taps, outside := r.tapsOf(dims[i], o)
			for j := range taps {
				taps[j].at *= step
			}
			most = max(most, len(taps))
			p.dims[i] = append(p.dims[i], resizedTaps{taps, outside})
		}
		if i < len(dims)-1 {
			p.most *= most
		}
		step *= dims[i].in
	}
	if p.most > maxTaps {
		return graph.Kernel{}, fmt.Errorf("%w scales: an element is made of %d rows", ErrUnsupported, p.most)
	}
	if out[0].DType == tensor.Float32 && len(dims) > 0 {
		if p.rereads(dims) {
			return p.spread(), nil
		}
		return p.lines(dims[len(dims)-1].in), nil
	}
	return p.kernel(out[0]), nil
}

// resizedTaps are what one output of a dimension reads, in elements of x.
type resizedTaps struct {
	taps    []tap
	outside bool
}

// resizePlan is what each output of each dimension reads.
type resizePlan struct {
	shape         tensor.Shape
	dims          [][]resizedTaps
	most          int // rows of x that make a row of the result
	extrapolation float64
}

func (p *resizePlan) kernel(out graph.Fact) graph.Kernel {
	switch out.DType {
	case tensor.Float64:
		return resizeKernel(p, same, same)
	case tensor.Float16, tensor.BFloat16:
		h := halfOf(out.DType)
		return resizeKernel(p, func(v uint16) float64 { return float64(h.load(v)) }, func(v float64) uint16 { return h.store(toOdd(v)) })
	case tensor.Int8:
		return resizeKernel(p, func(v int8) float64 { return float64(v) }, func(v float64) int8 { return int8(min(max(v, math.MinInt8), math.MaxInt8)) })
	case tensor.Uint8, tensor.Bool:
		return resizeKernel(p, func(v uint8) float64 { return float64(v) }, func(v float64) uint8 { return uint8(min(max(v, 0), math.MaxUint8)) })
	case tensor.Int16:
		return resizeKernel(p, func(v int16) float64 { return float64(v) }, func(v float64) int16 { return int16(toInt32(v)) })
	case tensor.Uint16:
		return resizeKernel(p, func(v uint16) float64 { return float64(v) }, func(v float64) uint16 { return uint16(toInt32(v)) })
	case tensor.Int32:
		return resizeKernel(p, func(v int32) float64 { return float64(v) }, toInt32)
	case tensor.Uint32:
		return resizeKernel(p, func(v uint32) float64 { return float64(v) }, func(v float64) uint32 { return uint32(toInt64(v)) })
	case tensor.Int64:
		return resizeKernel(p, func(v int64) float64 { return float64(v) }, toInt64)
	}
	return resizeKernel(p, func(v uint64) float64 { return float64(v) }, toUint64)
}

// lines is the kernel for float32 with rows of n elements: it makes a line of the
// rows of x, then of that a row of the result.
func (p *resizePlan) lines(n int) graph.Kernel {
	last := len(p.shape) - 1
	inner := p.dims[last]
	pairs := pairsOf(inner)
	rows := p.shape[:last].Elems()
	perRow := vectorTime*float64(n*p.most) + scalarTime*float64(len(inner))
	count := chunks(rows, perRow)
	scratch := 8 * (2*p.most + n)
	return graph.Kernel{Info: "lines go", Scratch: scratch, Steps: []graph.Step{{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y := floats(in[0]), floats(out[0])
		from, weights := tensor.Cast[int64](e.Scratch)[:p.most], tensor.Cast[float64](e.Scratch)[p.most:][:p.most]
		line := tensor.Cast[float64](e.Scratch)[2*p.most:][:n]
		lo, hi := span(rows, count, i, 1)
		for r := lo; r < hi; r++ {
			row := y[r*len(inner):][:len(inner)]
			parts, outside := p.row(r, from, weights)
			if outside {
				for o := range row {
					row[o] = float32(p.extrapolation)
				}
				continue
			}
			addRows(line, x, from[:parts], weights[:parts])
			if pairs != nil {
				for o, t := range pairs {
					row[o] = float32(float64(t[0].weight*line[t[0].at]) + float64(t[1].weight*line[t[1].at]))
				}
				continue
			}
			for o := range row {
				row[o] = float32(inner[o].sum(line, p.extrapolation))
			}
		}
		return nil
	}}}}
}

const (
	maxSpread = 8 // rows of the result that are kept
	rereadsOf = 2 // rows of the result that read a row of x, from which on these pay
)

// rereads reports whether each row of x makes several rows of the result.
func (p *resizePlan) rereads(dims []resized) bool {
	rows, made := 1, 1
	for _, d := range dims[:len(dims)-1] {
		rows, made = rows*d.in, made*d.out
	}
	return p.most <= maxSpread && made >= rereadsOf*rows
}

// spread is the kernel for float32 whose rows of x make several rows of the result
// each: it keeps the last rows of x, resized to rows of the result, and adds up
// those.
func (p *resizePlan) spread() graph.Kernel {
	last := len(p.shape) - 1
	n := p.shape[last]
	taps := flatTapsOf(p.dims[last])
	rows := p.shape[:last].Elems()
	count := chunks(rows, vectorTime*float64(n*p.most)+scalarTime*float64(n)/rereadsOf)
	type kept struct {
		from  int64 // where the row of x begins, or -1
		inUse bool
	}
	return graph.Kernel{Info: "spread lines", Scratch: 8*2*p.most + 4*n*(p.most+1), Steps: []graph.Step{{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y := floats(in[0]), floats(out[0])
		from, weights := tensor.Cast[int64](e.Scratch)[:p.most], tensor.Cast[float64](e.Scratch)[p.most:][:p.most]
		lines := tensor.Cast[float32](e.Scratch[8*2*p.most:])
		product := lines[p.most*n:][:n]
		var cache [maxSpread]kept
		for k := range cache {
			cache[k].from = -1
		}
		lo, hi := span(rows, count, i, 1)
		for r := lo; r < hi; r++ {
			row := y[r*n:][:n]
			parts, outside := p.row(r, from, weights)
			if outside {
				for o := range row {
					row[o] = float32(p.extrapolation)
				}
				continue
			}
			for k := range cache {
				cache[k].inUse = slices.Contains(from[:parts], cache[k].from)
			}
			for k, at := range from[:parts] {
				slot := slices.IndexFunc(cache[:p.most], func(c kept) bool { return c.from == at })
				if slot < 0 {
					slot = slices.IndexFunc(cache[:p.most], func(c kept) bool { return !c.inUse })
					cache[slot] = kept{at, true}
					taps.resize(lines[slot*n:][:n], x[at:], p.extrapolation)
				}
				line := lines[slot*n:][:n]
				switch w := float32(weights[k]); {
				case k == 0 && w == 1:
					copy(row, line)
				case k == 0:
					vec.MulScalar(row, line, w)
				default:
					vec.MulScalar(product, line, w)
					vec.Add(row, row, product)
				}
			}
		}
		return nil
	}}}}
}

// flatTaps are the taps of a dimension, those of output o from first[o] to
// first[o+1]; -1 where an output is outside.
type flatTaps struct {
	first   []int32
	at      []int32
	weights []float32
}

func flatTapsOf(outputs []resizedTaps) (f flatTaps) {
	for _, o := range outputs {
		f.first = append(f.first, int32(len(f.at)))
		if o.outside {
			f.at, f.weights = append(f.at, -1), append(f.weights, 0)
			continue
		}
		for _, t := range o.taps {
			f.at, f.weights = append(f.at, int32(t.at)), append(f.weights, float32(t.weight))
		}
	}
	f.first = append(f.first, int32(len(f.at)))
	return f
}

// resize sets dst to what the taps make of the row of x.
func (f *flatTaps) resize(dst, x []float32, outside float64) {
	for o := range dst {
		at := f.at[f.first[o]:f.first[o+1]]
		w := f.weights[f.first[o]:][:len(at)]
		switch {
		case len(at) == 2:
			dst[o] = float32(x[at[0]]*w[0]) + float32(x[at[1]]*w[1])
		case len(at) == 1 && at[0] < 0:
			dst[o] = float32(outside)
		case len(at) == 1 && w[0] == 1:
			dst[o] = x[at[0]]
		default:
			sum := float32(0)
			for k, a := range at {
				sum += float32(x[a] * w[k])
			}
			dst[o] = sum
		}
	}
}

// addRows sets line to the sum of the rows of x that begin at from, times weights.
func addRows(line []float64, x []float32, from []int64, weights []float64) {
	for k, w := range weights {
		part := x[from[k]:][:len(line)]
		switch {
		case k > 0:
			for j, v := range part {
				line[j] += float64(w * float64(v))
			}
		case w == 1:
			for j, v := range part {
				line[j] = float64(v)
			}
		default:
			for j, v := range part {
				line[j] = w * float64(v)
			}
		}
	}
}

// sum is what the taps make of a line.
func (t *resizedTaps) sum(line []float64, outside float64) float64 {
	switch {
	case t.outside:
		return outside
	case len(t.taps) == 1 && t.taps[0].weight == 1:
		return line[t.taps[0].at]
	}
	sum := 0.0
	for _, p := range t.taps {
		sum += float64(p.weight * line[p.at])
	}
	return sum
}

// pairsOf returns the taps of a dimension of which each output has two, or nil.
func pairsOf(outputs []resizedTaps) [][2]tap {
	pairs := make([][2]tap, len(outputs))
	for o, t := range outputs {
		if t.outside || len(t.taps) != 2 {
			return nil
		}
		pairs[o] = [2]tap(t.taps)
	}
	return pairs
}

// resizeKernel makes the result row by row.
func resizeKernel[T tensor.Elem](p *resizePlan, load func(T) float64, store func(float64) T) graph.Kernel {
	if len(p.shape) == 0 {
		return view
	}
	last := len(p.shape) - 1
	inner := p.dims[last]
	rows := p.shape[:last].Elems()
	count := chunks(rows, 3*scalarTime*float64(p.most)*float64(len(inner)))
	return graph.Kernel{Info: "generic go", Scratch: 2 * 8 * p.most, Steps: []graph.Step{{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y := tensor.Cast[T](in[0].Raw), tensor.Cast[T](out[0].Raw)
		from, weights := tensor.Cast[int64](e.Scratch)[:p.most], tensor.Cast[float64](e.Scratch)[p.most:][:p.most]
		lo, hi := span(rows, count, i, 1)
		for r := lo; r < hi; r++ {
			n, outside := p.row(r, from, weights)
			for o, taps := range inner {
				if outside || taps.outside {
					y[r*len(inner)+o] = store(p.extrapolation)
					continue
				}
				if n == 1 && len(taps.taps) == 1 && weights[0] == 1 {
					y[r*len(inner)+o] = x[int(from[0])+taps.taps[0].at]
					continue
				}
				sum := 0.0
				for k, w := range weights[:n] {
					line := 0.0
					for _, t := range taps.taps {
						line += float64(t.weight * load(x[int(from[k])+t.at]))
					}
					sum += float64(w * line)
				}
				y[r*len(inner)+o] = store(sum)
			}
		}
		return nil
	}}}}
}

// row sets where the n rows of x begin that make row r of the result, and their
// weights.
func (p *resizePlan) row(r int, from []int64, weights []float64) (n int, outside bool) {
	n, from[0], weights[0] = 1, 0, 1
	for d := len(p.shape) - 2; d >= 0; d-- {
		o := &p.dims[d][r%p.shape[d]]
		r /= p.shape[d]
		outside = outside || o.outside
		for k := len(o.taps) - 1; k >= 0; k-- { // the first last, since it is in place
			for j := range n {
				from[k*n+j], weights[k*n+j] = from[j]+int64(o.taps[k].at), float64(weights[j]*o.taps[k].weight)
			}
		}
		n *= len(o.taps)
	}
	return n, outside
}
