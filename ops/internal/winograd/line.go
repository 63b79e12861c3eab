package winograd

import "scission/ops/internal/conv"

// line is the form F(4, kernel) along one dimension, with the points 0, infinity and plus and minus each of some others.
type line struct {
	kernel, patch int
	points        []float64
	all           []float32   // the polynomial of all points squared, from the highest power on, which is 1
	but           [][]float32 // the same without the i-th point
	powers        [][]float32 // of the i-th point, from 0 to 3
	scale         float64     // of weights at 0
	scales        []float64   // and at the i-th point
}

// The lines there are.
var (
	line3 = newLine(3, 3./4, 3./2)
	line7 = newLine(7, 3./8, 3./4, 5./4, 5./2)
)

func newLine(kernel int, points ...float64) *line {
	l := &line{kernel: kernel, patch: kernel + tile - 1, points: points, all: polynomial(points, -1)}
	all := 1.
	for i, p := range points {
		all *= -p * p
		scale := 2 * p * p
		for j, q := range points {
			if j != i {
				scale *= p*p - q*q
			}
		}
		l.scales = append(l.scales, 1/scale)
		l.but = append(l.but, polynomial(points, i))
		l.powers = append(l.powers, []float32{1, float32(p), float32(p * p), float32(p * p * p)})
	}
	l.scale = 1 / all
	return l
}

// polynomial returns the coefficients of the product of x - p² over all points but one, from the highest power on.
func polynomial(points []float64, but int) []float32 {
	c := []float32{1}
	for i, p := range points {
		if i == but {
			continue
		}
		c = append(c, 0)
		for j := len(c) - 1; j > 0; j-- {
			c[j] -= float32(p*p) * c[j-1]
		}
	}
	return c
}

// weights sets every step-th element of u to an element of Gg.
func (l *line) weights(g, u []float32, step int) {
	u[0] = float32(float64(g[0]) * l.scale)
	for i, p := range l.points {
		even, odd, power := 0., 0., 1.
		for j, w := range g {
			if v := float64(power * float64(w)); j%2 == 0 {
				even += v
			} else {
				odd += v
			}
			power *= p
		}
		u[(1+2*i)*step] = float32((even + odd) * l.scales[i])
		u[(2+2*i)*step] = float32((even - odd) * l.scales[i])
	}
	u[(l.patch-1)*step] = g[len(g)-1]
}

// sum is the sum of products of coefficients and every other value down from the i-th.
func sum(c, d []float32, i int) float32 {
	s := d[i]
	for j, c := range c[1:] {
		s += mul(c, d[i-2-2*j])
	}
	return s
}

// portableInput is the lineInputFunc in Go.
func (l *line) portableInput(r lineInputRun, in, v []float32) {
	var patch [maxPatch]float32
	d := patch[:l.patch]
	last := l.patch - 1
	for t := range r.count {
		for lane := range lanes {
			clear(d)
			for i := r.from; i < r.to; i++ {
				d[i] = in[r.at+t*r.next+i*r.step+lane]
			}
			v := v[t*lanes+lane:]
			v[0], v[last*r.plane] = sum(l.all, d, last-1), sum(l.all, d, last)
			for i, c := range l.but {
				even, odd := sum(c, d, last-1), mul(l.powers[i][1], sum(c, d, last-2))
				v[(1+2*i)*r.plane], v[(2+2*i)*r.plane] = even+odd, even-odd
			}
		}
	}
}

// maxPatch is the values of the longest patch.
const maxPatch = 10

// portableOutput is the lineOutputFunc in Go.
func (l *line) portableOutput(r lineOutputRun, m, epi, res, out, _ []float32) {
	for t := range r.count {
		for lane := range lanes {
			m := m[t*lanes+lane:]
			y := [tile]float32{0: m[0], tile - 1: m[(l.patch-1)*r.plane]}
			for i, p := range l.powers {
				plus, minus := m[(1+2*i)*r.plane], m[(2+2*i)*r.plane]
				s, d := plus+minus, plus-minus
				y[0] += s
				if i == 0 {
					y[1], y[2] = mul(p[1], d), mul(p[2], s)
				} else {
					y[1] += mul(p[1], d)
					y[2] += mul(p[2], s)
				}
				y[3] += mul(p[3], d)
			}
			for i, value := range y[:r.wanted] {
				r.finish(value, t*r.next+i*r.step, lane, epi, res, out)
			}
		}
	}
}

// transformLines is transform for lines.
func (k *Kernel) transformLines(part, first, last int, in, v []float32) {
	s := &k.shape
	k.eachRow(part, func(image, y, x, at, count int) {
		run := lineInputRun{step: lanes, next: k.tileW * lanes, plane: k.vPlane}
		if k.upright() {
			run.step *= s.IW
		}
		for row := range k.rows {
			top := y*k.tileH - s.PadTop + row
			for done := 0; done < count; done += run.count {
				left := (x+done)*k.tileW - s.PadLeft
				run.from, run.to, run.count = 0, 0, 1
				switch {
				case k.upright() && 0 <= left && left < s.IW:
					run.from, run.to = k.within(top, s.IH)
					run.count = min(count-done, s.IW-left, lineZeros/run.next)
				case !k.upright() && 0 <= top && top < s.IH:
					if run.from, run.to = k.within(left, s.IW); run.from == 0 && run.to == k.values {
						run.count = min(count-done, (s.IW-k.values-left)/tile+1)
					}
				}
				for b := first; b < last; b++ {
					run.at = (((image*k.ics+b)*s.IH+top)*s.IW + left) * lanes
					k.lineInput(run, in, v[((row*k.ics+b)*k.part+at+done)*lanes:])
				}
			}
		}
	})
}

// within returns which values of a patch that starts at a place exist in a row or column of so many.
func (k *Kernel) within(at, size int) (from, to int) {
	return max(0, min(-at, k.values)), max(0, min(size-at, k.values))
}

// finishLines is finish for lines.
func (k *Kernel) finishLines(part, set int, m, res, out, temp []float32) {
	s := &k.shape
	first := set * k.set
	k.eachRow(part, func(image, y, x, at, count int) {
		run := lineOutputRun{plane: k.mPlane, step: lanes, next: k.tileW * lanes, epilogueRun: k.finals}
		if k.upright() {
			run.step *= s.OW
		}
		for end := at + count; at < end; {
			run.wanted, run.count = min(tile, s.OH-y*k.tileH), end-at
			if !k.upright() {
				if run.wanted, run.count = min(tile, s.OW-x*tile), 1; run.wanted == tile {
					run.count = min(end-at, s.OW/tile-x)
				}
			}
			for b := first; b < min(first+k.set, k.ocs); b++ {
				o := (((image*k.ocs+b)*s.OH+y*k.tileH)*s.OW + x*k.tileW) * lanes
				var r []float32
				if res != nil {
					r = res[o:]
				}
				k.lineOutput(run, m[((b-first)*k.part+at)*lanes:], k.epi[b*lanes*conv.EpilogueLen:], r, out[o:], temp)
			}
			at += run.count
			x += run.count
		}
	})
}
