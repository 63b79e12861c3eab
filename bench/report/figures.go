package report

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"scission/split"
)

// bars is vertical bars of height y at x = 0, 1, 2 and so on.
type bars struct {
	y      []float64
	colour color.Color
}

func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	base := toY(p.Y.Min)
	for i, y := range b.y {
		left, right, top := toX(float64(i)-0.45), toX(float64(i)+0.45), toY(y)
		c.FillPolygon(b.colour, []vg.Point{{X: left, Y: base}, {X: right, Y: base}, {X: right, Y: top}, {X: left, Y: top}})
	}
}

// DataRange implements plot.DataRanger.
func (b bars) DataRange() (xmin, xmax, ymin, ymax float64) {
	return -0.5, float64(len(b.y)) - 0.5, 0, slices.Max(b.y)
}

// Layers shows, layer by layer, how long a host takes and how many bytes would
// cross a cut behind the layer; the latter only where the profile has the cut.
func Layers(p *split.Profile) *Figure {
	took := make([]float64, len(p.Layers))
	for i, l := range p.Layers {
		took[i] = milliseconds(l.Samples.Median())
	}
	size := make([]float64, len(p.Layers))
	for _, c := range p.Cuts {
		if c.Position > 0 {
			size[c.Position-1] = float64(c.Bytes) / 1e6
		}
	}
	title := fmt.Sprintf("%s on %s", p.Model.Name, p.Host)
	if p.Emulated != "" {
		title += " (emulated: " + p.Emulated + ")"
	}
	return &Figure{
		Name:  "layers-" + p.Host,
		Title: title,
		Caption: "Time of each layer, the median of its samples inside the whole model, and the size of what crosses a cut behind it. " +
			"Layers that the optimiser joins count for the first of them; layers behind which nothing was measured have no lower bar.",
		width: 9 * vg.Inch, height: 6 * vg.Inch,
		draw: func(c draw.Canvas) {
			top := newPlot(title, "", "time, ms")
			top.Add(plotter.NewGrid(), bars{took, colour(0)})
			bottom := newPlot("", "layer", "crosses behind it, MB")
			bottom.Add(plotter.NewGrid(), bars{size, colour(1)})
			plots := [][]*plot.Plot{{top}, {bottom}}
			canvases := plot.Align(plots, draw.Tiles{Rows: 2, Cols: 1, PadY: 4, PadRight: 8, PadTop: 4}, c)
			top.Draw(canvases[0][0])
			bottom.Draw(canvases[1][0])
		},
	}
}

// part is a piece of a partition's bar.
type part struct {
	took   time.Duration
	colour color.Color
}

// rows is horizontal bars made of parts, the first on top.
type rows [][]part

func (r rows) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	for i, parts := range r {
		y := float64(len(r) - 1 - i)
		low, high, at := toY(y-0.35), toY(y+0.35), time.Duration(0)
		for _, q := range parts {
			left, right := toX(milliseconds(at)), toX(milliseconds(at+q.took))
			c.FillPolygon(q.colour, []vg.Point{{X: left, Y: low}, {X: right, Y: low}, {X: right, Y: high}, {X: left, Y: high}})
			at += q.took
		}
	}
}

func (r rows) DataRange() (xmin, xmax, ymin, ymax float64) {
	for _, parts := range r {
		sum := time.Duration(0)
		for _, q := range parts {
			sum += q.took
		}
		xmax = max(xmax, milliseconds(sum))
	}
	return 0, xmax, -0.6, float64(len(r)) - 0.4
}

// Partitions shows estimates as bars: the time on each host and between them,
// in the order in which it passes.
func Partitions(title string, estimates []split.Estimate) (*Figure, error) {
	if len(estimates) == 0 {
		return nil, errors.New("report: no partitions to show")
	}
	hosts := hostColours(estimates)
	var bars rows
	var labels []string
	for _, e := range estimates {
		bars = append(bars, timeline(e, hosts))
		labels = append(labels, e.Partition.String())
	}
	slices.Reverse(labels)
	return &Figure{
		Name:    "partitions",
		Title:   title,
		Caption: "Predicted time of each partition: computing on the hosts, and between them coding (dark) and travel (light).",
		width:   10 * vg.Inch, height: vg.Length(2+0.36*float64(len(bars))) * vg.Inch,
		draw: func(c draw.Canvas) {
			p := newPlot(title, "time, ms", "")
			p.Add(plotter.NewGrid(), bars)
			p.NominalY(labels...)
			p.X.Max *= 1.3 // room for the legend
			for _, h := range hosts.order {
				p.Legend.Add(h, swatch{hosts.of[h]})
			}
			p.Legend.Add("travel", swatch{travelColour})
			p.Legend.Add("coding", swatch{codingColour})
			p.Draw(draw.Crop(c, 4, -8, 4, -4))
		},
	}, nil
}

// swatch is a colour in a legend.
type swatch struct{ colour color.Color }

// Thumbnail implements plot.Thumbnailer.
func (s swatch) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(s.colour, []vg.Point{{X: c.Min.X, Y: c.Min.Y}, {X: c.Max.X, Y: c.Min.Y}, {X: c.Max.X, Y: c.Max.Y}, {X: c.Min.X, Y: c.Max.Y}})
}

type colours struct {
	order []string
	of    map[string]color.Color
}

// hostColours gives each host that computes a colour, in order of appearance.
func hostColours(estimates []split.Estimate) colours {
	c := colours{of: map[string]color.Color{}}
	for _, e := range estimates {
		for _, s := range e.Stages {
			if c.of[s.Host] == nil {
				c.of[s.Host] = colour(len(c.order))
				c.order = append(c.order, s.Host)
			}
		}
	}
	return c
}

// timeline is the parts of a run in order: each stage behind the hops that
// bring its data.
func timeline(e split.Estimate, hosts colours) []part {
	var parts []part
	hops := e.Hops
	travel := func(until func(split.HopCost) bool) {
		for len(hops) > 0 && until(hops[0]) {
			h := hops[0]
			parts = append(parts, part{h.Encode, codingColour}, part{h.Travel, travelColour}, part{h.Decode, codingColour})
			hops = hops[1:]
		}
	}
	for _, s := range e.Stages {
		travel(func(h split.HopCost) bool { return !h.Back && h.Position <= s.Segment.From })
		parts = append(parts, part{s.Compute, hosts.of[s.Host]})
	}
	travel(func(split.HopCost) bool { return true })
	return parts
}

// Bandwidths of the sweep, relative to those of the network.
const (
	sweepFrom  = 1.0 / 64
	sweepTo    = 64
	sweepSteps = 97
)

// Bandwidth shows how the latency of running everything on one host, and of
// the best split, changes when all links of the network are slower or faster,
// and which partition is best where.
func Bandwidth(pb split.Problem) (*Figure, error) {
	if pb.Network == nil || len(pb.Network.Links()) == 0 {
		return nil, errors.New("report: no network to vary")
	}
	lines := map[string]plotter.XYs{}
	var names []string
	add := func(name string, x float64, took time.Duration) {
		if lines[name] == nil {
			names = append(names, name)
		}
		lines[name] = append(lines[name], plotter.XY{X: x, Y: milliseconds(took)})
	}
	type region struct {
		name     string
		from, to float64
	}
	var regions []region
	reference := firstLink(pb)
	for i := range sweepSteps {
		factor := sweepFrom * math.Pow(sweepTo/sweepFrom, float64(i)/(sweepSteps-1))
		scaled := pb
		scaled.Network = &split.Network{}
		for _, l := range pb.Network.Links() {
			link := l.Link
			link.Bandwidth *= factor
			if err := scaled.Network.Set(l.From, l.To, link); err != nil {
				return nil, fmt.Errorf("report: %w", err)
			}
		}
		x := reference.Bandwidth * factor * 8 / 1e6
		for _, host := range pb.Hosts {
			e, err := scaled.Predict(split.Partition{{Host: host, Segment: split.Segment{From: 0, To: pb.Layers}}})
			if errors.Is(err, split.ErrNoLink) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("report: %w", err)
			}
			add("all on "+host, x, e.Total)
		}
		best, err := scaled.Rank(split.Query{Top: 1, SplitOnly: true})
		if err == nil {
			add("best split", x, best[0].Total)
		} else if !errors.Is(err, split.ErrNoPartition) {
			return nil, fmt.Errorf("report: %w", err)
		}
		all, err := scaled.Rank(split.Query{Top: 1})
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		name := all[0].Partition.String()
		if n := len(regions); n > 0 && regions[n-1].name == name {
			regions[n-1].to = x
		} else {
			if n > 0 {
				regions[n-1].to = x
			}
			regions = append(regions, region{name, x, x})
		}
	}
	var where []string
	for i, r := range regions {
		where = append(where, fmt.Sprintf("%s: %s from %.3g to %.3g Mbit/s", letter(i), r.name, r.from, r.to))
	}
	title := fmt.Sprintf("latency against bandwidth from %s to %s", reference.From, reference.To)
	return &Figure{
		Name:  "bandwidth",
		Title: title,
		Caption: "All links are scaled together; the axis shows one of them. The strip below says where which partition is best. " +
			strings.Join(where, "; ") + ".",
		width: 9 * vg.Inch, height: 5.5 * vg.Inch,
		draw: func(c draw.Canvas) {
			p := newPlot(title, fmt.Sprintf("Mbit/s from %s to %s", reference.From, reference.To), "time, ms")
			p.Add(plotter.NewGrid())
			p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
			p.X.Tick.Marker, p.Y.Tick.Marker = plot.LogTicks{Prec: -1}, plot.LogTicks{Prec: -1}
			for i, name := range names {
				l, err := plotter.NewLine(lines[name])
				if err != nil {
					continue // a line without points
				}
				l.LineStyle.Width, l.LineStyle.Color = vg.Points(2), colour(i)
				if name == "best split" {
					l.LineStyle.Color, l.LineStyle.Dashes = color.Black, []vg.Length{vg.Points(5), vg.Points(3)}
				}
				p.Add(l)
				p.Legend.Add(name, l)
			}
			p.Y.Min *= 0.7 // room for the strip
			for i, r := range regions {
				p.Add(strip{r.from, r.to, shades[i%len(shades)], letter(i), p.X.Tick.Label})
				p.Legend.Add("best in "+letter(i)+": "+r.name, swatch{shades[i%len(shades)]})
			}
			p.Draw(draw.Crop(c, 4, -8, 4, -4))
		},
	}, nil
}

// firstLink is the link from the source that comes first, or the first of all.
func firstLink(pb split.Problem) split.HostLink {
	links := pb.Network.Links()
	source := pb.Source
	if source == "" {
		source = pb.Hosts[0]
	}
	if i := slices.IndexFunc(links, func(l split.HostLink) bool { return l.From == source }); i >= 0 {
		return links[i]
	}
	return links[0]
}

// letter names a region: A to Z, and then numbers.
func letter(i int) string {
	if i < 26 {
		return string(rune('A' + i))
	}
	return fmt.Sprint(i + 1)
}

// shades tell neighbouring regions apart without looking like a line's colour.
var shades = []color.Color{color.RGBA{0xd8, 0xd8, 0xd8, 0xff}, color.RGBA{0xa8, 0xa8, 0xa8, 0xff}}

// strip marks a range of x along the lower edge.
type strip struct {
	from, to float64
	colour   color.Color
	label    string
	style    draw.TextStyle
}

// stripHeight has room for the label.
const stripHeight = 14

func (s strip) Plot(c draw.Canvas, p *plot.Plot) {
	toX, _ := p.Transforms(&c)
	left, right, y := toX(s.from), toX(s.to), c.Min.Y
	c.FillPolygon(s.colour, []vg.Point{{X: left, Y: y}, {X: right, Y: y}, {X: right, Y: y + stripHeight}, {X: left, Y: y + stripHeight}})
	style := s.style
	style.XAlign, style.YAlign = draw.XCenter, draw.YCenter
	c.FillText(style, vg.Point{X: (left + right) / 2, Y: y + stripHeight/2}, s.label)
}
