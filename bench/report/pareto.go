package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"scission/split"
)

// Pareto shows partitions by latency and another objective: those of the front
// and, faint, others that one of the front beats in both. Power is needed for
// energy only.
func Pareto(front, others []split.Estimate, against split.Objective, power map[string]split.Power) (*Figure, error) {
	if len(front) == 0 {
		return nil, errNothing
	}
	axis, value := "", func(e split.Estimate) float64 { return 0 }
	switch against {
	case split.Egress:
		axis, value = "leaves the device, kB", func(e split.Estimate) float64 { return float64(e.Egress()) / 1e3 }
	case split.Energy:
		axis, value = "energy of a run, J", func(e split.Estimate) float64 { return e.Energy(power) }
	case split.Throughput:
		axis, value = "time from output to output, ms", func(e split.Estimate) float64 { return milliseconds(e.Interval()) }
	default:
		return nil, fmt.Errorf("report: a front of latency against %v", against)
	}
	front = slices.Clone(front)
	slices.SortStableFunc(front, func(a, b split.Estimate) int { return cmp.Compare(value(a), value(b)) })
	smallest, largest, anyZero := math.Inf(1), 0.0, false
	for _, e := range slices.Concat(front, others) {
		v := value(e)
		if anyZero = anyZero || v == 0; v > 0 {
			smallest, largest = min(smallest, v), max(largest, v)
		}
	}
	if largest == 0 {
		smallest, largest = 1, 1
	}
	// An axis of logarithms has no place for 0; it gets one at the left end.
	zero := smallest
	if anyZero {
		zero = smallest / 4
	}
	place := func(e split.Estimate) plotter.XY {
		return plotter.XY{X: max(value(e), zero), Y: milliseconds(max(e.Total, 1))}
	}
	points := func(list []split.Estimate) (xys plotter.XYs) {
		for _, e := range list {
			xys = append(xys, place(e))
		}
		return xys
	}
	on, off := points(front), points(others)
	nearX, nearY := math.Log(largest/zero)/40, 0.1
	var lettered []string
	marks := map[int]string{}
	for i, e := range front {
		// Letters that would stand on each other are left out.
		near := false
		for j := range marks {
			near = near || math.Abs(math.Log(on[i].X/on[j].X)) < nearX && math.Abs(math.Log(on[i].Y/on[j].Y)) < nearY
		}
		if near {
			continue
		}
		marks[i] = letter(len(lettered))
		lettered = append(lettered, fmt.Sprintf("%s: %s", marks[i], e.Partition))
	}
	title := fmt.Sprintf("latency against %v: %d partitions that none beats", against, len(front))
	return &Figure{
		Name:    "pareto-" + against.String(),
		Title:   title,
		Caption: fmt.Sprintf("No partition is better in both than one on the line; grey are %d of the others. %s.", len(others), strings.Join(lettered, "; ")),
		width:   8 * vg.Inch, height: 5 * vg.Inch,
		draw: func(c draw.Canvas) {
			p := newPlot(title, axis, "latency, ms")
			p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
			p.X.Tick.Marker, p.Y.Tick.Marker = ticks{}, ticks{}
			if anyZero {
				p.X.Tick.Marker = zeroTicks{zero, smallest}
			}
			p.Add(plotter.NewGrid())
			faint := scatter{off, draw.GlyphStyle{Color: faintColour, Radius: vg.Points(1.8), Shape: draw.CircleGlyph{}}}
			if len(off) > 0 {
				p.Add(faint)
				p.Legend.Add("beaten", faint)
			}
			best := scatter{on, draw.GlyphStyle{Color: colour(0), Radius: vg.Points(3), Shape: draw.CircleGlyph{}}}
			p.Add(stairs{on}, best, letters{on, marks, p.X.Tick.Label})
			p.Legend.Add("front", best)
			p.X.Min, p.X.Max = zero/1.3, largest*1.3
			p.Y.Min, p.Y.Max = p.Y.Min/1.1, p.Y.Max*1.25
			p.Draw(draw.Crop(c, 4, -12, 4, -4))
		},
	}, nil
}

// zeroTicks are ticks of an axis on which zero stands where at is.
type zeroTicks struct{ at, smallest float64 }

// Ticks implements plot.Ticker.
func (z zeroTicks) Ticks(low, high float64) []plot.Tick {
	list := []plot.Tick{{Value: z.at, Label: "0"}}
	for _, t := range (ticks{}).Ticks(low, high) {
		if t.Value >= z.smallest/1.3 {
			list = append(list, t)
		}
	}
	return list
}

// stairs is the line of a front: what is above and to the right of it is beaten.
type stairs struct{ points plotter.XYs }

func (s stairs) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	style := draw.LineStyle{Color: colour(0), Width: vg.Points(1.2)}
	for i := range len(s.points) - 1 {
		a, b := s.points[i], s.points[i+1]
		c.StrokeLine2(style, toX(a.X), toY(a.Y), toX(b.X), toY(a.Y))
		c.StrokeLine2(style, toX(b.X), toY(a.Y), toX(b.X), toY(b.Y))
	}
}

// letters stand above and to the right of their points.
type letters struct {
	points plotter.XYs
	marks  map[int]string
	style  draw.TextStyle
}

func (l letters) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	style := l.style
	style.XAlign, style.YAlign = draw.XLeft, draw.YBottom
	for i, q := range l.points {
		if l.marks[i] != "" {
			c.FillText(style, vg.Point{X: toX(q.X) + 3, Y: toY(q.Y) + 2}, l.marks[i])
		}
	}
}
