package report

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// errNothing is the error of a figure about nothing.
var errNothing = errors.New("report: nothing to show")

// tolerance is the band that is drawn around perfect predictions.
const tolerance = 0.10

var (
	bandColour  = color.RGBA{0xec, 0xec, 0xec, 0xff}
	guideColour = color.RGBA{0x80, 0x80, 0x80, 0xff}
	faintColour = color.RGBA{0xc4, 0xc4, 0xc4, 0xff}
)

// Scatter shows predicted against measured times of all partitions, coloured
// by the number of hops.
func Scatter(list []*Validation) (*Figure, error) {
	byHops := map[int]plotter.XYs{}
	low, high := math.Inf(1), 0.0
	for _, v := range list {
		for _, p := range v.Partitions {
			x, y := milliseconds(p.Measured), milliseconds(p.Predicted)
			if x <= 0 || y <= 0 {
				continue // has no place on an axis of logarithms
			}
			byHops[p.Hops] = append(byHops[p.Hops], plotter.XY{X: x, Y: y})
			low, high = min(low, x, y), max(high, x, y)
		}
	}
	if len(byHops) == 0 {
		return nil, errNothing
	}
	low, high = low/1.2, high*1.2
	var hops []int
	for n := range byHops {
		hops = append(hops, n)
	}
	slices.Sort(hops)
	t := Total(list).Prediction
	title := fmt.Sprintf("%d partitions of %s, predicted and executed", t.Count, networks(list))
	return &Figure{
		Name:  "predicted-measured",
		Title: title,
		Caption: fmt.Sprintf("Each point is a partition. On the line the prediction is right, in the band within %g %%. "+
			"Errors: median %.1f %%, 95th percentile %.1f %%, largest %.1f %%.", 100*tolerance, 100*t.Median, 100*t.P95, 100*t.Worst),
		width: 7 * vg.Inch, height: 6.5 * vg.Inch,
		draw: func(c draw.Canvas) {
			p := newPlot(title, "measured, ms", "predicted, ms")
			p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
			p.X.Tick.Marker, p.Y.Tick.Marker = ticks{}, ticks{}
			p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = low, high, low, high
			p.Add(band{low, high}, plotter.NewGrid())
			for i, n := range hops {
				s := scatter{byHops[n], glyph(i)}
				p.Add(s)
				p.Legend.Add(fmt.Sprintf("%d hops", n), s)
			}
			p.Legend.Add(fmt.Sprintf("within %g %%", 100*tolerance), swatch{bandColour})
			p.Legend.Left = true
			p.Draw(draw.Crop(c, 4, -12, 4, -4))
		},
	}, nil
}

// networks names one network or says how many there are.
func networks(list []*Validation) string {
	if len(list) == 1 {
		return strings.TrimPrefix(list[0].Model.Name, "zoo:")
	}
	return fmt.Sprintf("%d networks", len(list))
}

// glyph is the mark of the i-th kind of points.
func glyph(i int) draw.GlyphStyle {
	shapes := []draw.GlyphDrawer{draw.CircleGlyph{}, draw.TriangleGlyph{}, draw.SquareGlyph{}, draw.PyramidGlyph{}}
	return draw.GlyphStyle{Color: colour(i), Radius: vg.Points(2.6), Shape: shapes[i%len(shapes)]}
}

// scatter is points without a line.
type scatter struct {
	points plotter.XYs
	style  draw.GlyphStyle
}

func (s scatter) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	for _, q := range s.points {
		c.DrawGlyph(s.style, vg.Point{X: toX(q.X), Y: toY(q.Y)})
	}
}

func (s scatter) DataRange() (xmin, xmax, ymin, ymax float64) { return plotter.XYRange(s.points) }

// Thumbnail implements plot.Thumbnailer.
func (s scatter) Thumbnail(c *draw.Canvas) { c.DrawGlyph(s.style, c.Center()) }

// band is the diagonal from low to high and what is within the tolerance of it.
type band struct{ low, high float64 }

func (b band) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	at := func(x, y float64) vg.Point { return vg.Point{X: toX(x), Y: toY(y)} }
	c.FillPolygon(bandColour, []vg.Point{
		at(b.low, b.low), at(b.low/(1-tolerance), b.low), at(b.high, b.high*(1-tolerance)),
		at(b.high, b.high), at(b.high/(1+tolerance), b.high), at(b.low, b.low*(1+tolerance)),
	})
	from, to := at(b.low, b.low), at(b.high, b.high)
	c.StrokeLine2(draw.LineStyle{Color: guideColour, Width: vg.Points(0.8)}, from.X, from.Y, to.X, to.Y)
}

// ticks are those of an axis of logarithms: all digits times powers of ten,
// with as many labels as there is room for.
type ticks struct{}

// Ticks implements plot.Ticker.
func (ticks) Ticks(low, high float64) []plot.Tick {
	labelled := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9}
	switch {
	case high/low > 2000:
		labelled = []float64{1}
	case high/low > 6:
		labelled = []float64{1, 2, 5}
	}
	var list []plot.Tick
	for power := math.Pow(10, math.Floor(math.Log10(low))); power <= high; power *= 10 {
		for m := 1.0; m < 10; m++ {
			at := m * power
			if at < low || at > high {
				continue
			}
			tick := plot.Tick{Value: at}
			if slices.Contains(labelled, m) {
				tick.Label = fmt.Sprintf("%.6g", at)
			}
			list = append(list, tick)
		}
	}
	return list
}

// percentTicks are ticks of an axis of per cent around 0.
type percentTicks struct{}

// Ticks implements plot.Ticker.
func (percentTicks) Ticks(low, high float64) []plot.Tick {
	step := 5.0
	for high/step > 6 {
		step *= 2
	}
	var list []plot.Tick
	for at := math.Ceil(low/step) * step; at <= high; at += step {
		list = append(list, plot.Tick{Value: at, Label: fmt.Sprintf("%g", at)})
	}
	return list
}

// Limits that the figure of additivity shows, as shares.
var additivityGuides = []float64{-0.10, -0.03, 0, 0.03, 0.10}

// AdditivityBars shows for each network and host how far the sum of the layers
// is from the whole.
func AdditivityBars(list []*Validation) (*Figure, error) {
	var hosts []string
	for _, v := range list {
		for _, h := range v.Hosts {
			if !slices.Contains(hosts, h.Host) {
				hosts = append(hosts, h.Host)
			}
		}
	}
	if len(hosts) == 0 {
		return nil, errNothing
	}
	g := groups{values: make([][]float64, len(hosts))}
	var names []string
	reach := 0.12
	for _, v := range list {
		names = append(names, strings.TrimPrefix(v.Model.Name, "zoo:"))
		for i, host := range hosts {
			value := 0.0
			if at := slices.IndexFunc(v.Hosts, func(h Additivity) bool { return h.Host == host }); at >= 0 {
				value = v.Hosts[at].Error()
			}
			g.values[i] = append(g.values[i], value)
			reach = max(reach, 1.1*math.Abs(value))
		}
	}
	t := Total(list).Additivity
	title := "sum of the layers against the whole network"
	return &Figure{
		Name:  "additivity",
		Title: title,
		Caption: fmt.Sprintf("Above 0 the layers add up to more than the network takes when no layer is timed. Dashed: 3 %% and 10 %%. "+
			"Errors: median %.1f %%, largest %.1f %%.", 100*t.Median, 100*t.Worst),
		width: vg.Length(max(5, 2+0.45*float64(len(list)))) * vg.Inch, height: 4.2 * vg.Inch,
		draw: func(c draw.Canvas) {
			p := newPlot(title, "", "difference, %")
			p.Add(g)
			p.NominalX(names...)
			p.X.Tick.Label.Rotation = math.Pi / 4
			p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = draw.XRight, draw.YCenter
			p.Y.Min, p.Y.Max = -100*reach, 140*reach // room for the legend
			p.Y.Tick.Marker = percentTicks{}
			for i, h := range hosts {
				p.Legend.Add(h, swatch{colour(i)})
			}
			p.Draw(draw.Crop(c, 4, -8, 4, -4))
		},
	}, nil
}

// groups is bars of several kinds side by side, from 0 up or down, in per cent:
// values[kind][x].
type groups struct{ values [][]float64 }

func (g groups) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	const used = 0.8 // of the place of a group
	width := used / float64(len(g.values))
	for kind, values := range g.values {
		for i, v := range values {
			left := float64(i) - used/2 + float64(kind)*width
			l, r, low, high := toX(left), toX(left+0.9*width), toY(0), toY(100*v)
			c.FillPolygon(colour(kind), []vg.Point{{X: l, Y: low}, {X: r, Y: low}, {X: r, Y: high}, {X: l, Y: high}})
		}
	}
	for _, at := range additivityGuides {
		style := draw.LineStyle{Color: guideColour, Width: vg.Points(0.6)}
		if at != 0 {
			style.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		}
		c.StrokeLine2(style, c.Min.X, toY(100*at), c.Max.X, toY(100*at))
	}
}

func (g groups) DataRange() (xmin, xmax, ymin, ymax float64) {
	return -0.5, float64(len(g.values[0])) - 0.5, 0, 0
}
