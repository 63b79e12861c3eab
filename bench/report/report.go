// Package report shows what was measured and planned as pictures, in PNG and
// SVG, and as one HTML page that needs nothing beside it.
//
// It knows profiles, networks and the planner of package split; it measures
// nothing.
package report

import (
	"bytes"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Figure is a picture with a text that says what it shows.
type Figure struct {
	Name    string // of its files, without extension
	Title   string
	Caption string

	width, height vg.Length
	draw          func(c draw.Canvas)
}

// resolution of PNG files, in dots per inch.
const resolution = 144

// PNG is the figure as a PNG file.
func (f *Figure) PNG() ([]byte, error) {
	c := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(f.width, f.height), vgimg.UseDPI(resolution))}
	f.draw(draw.New(c))
	var b bytes.Buffer
	_, err := c.WriteTo(&b)
	return b.Bytes(), err
}

// SVG is the figure as an SVG file.
func (f *Figure) SVG() ([]byte, error) {
	c := vgsvg.New(f.width, f.height)
	f.draw(draw.New(c))
	var b bytes.Buffer
	_, err := c.WriteTo(&b)
	return b.Bytes(), err
}

// Write writes NAME.png and NAME.svg into dir and returns their paths.
func (f *Figure) Write(dir string) ([]string, error) {
	var paths []string
	for _, format := range []struct {
		extension string
		encode    func() ([]byte, error)
	}{{".png", f.PNG}, {".svg", f.SVG}} {
		b, err := format.encode()
		if err != nil {
			return nil, fmt.Errorf("report: figure %s: %w", f.Name, err)
		}
		path := filepath.Join(dir, f.Name+format.extension)
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// Colours that colour-blind readers can tell apart (Okabe and Ito, 2008). The
// network has grey.
var (
	palette = []color.Color{
		color.RGBA{0x00, 0x72, 0xb2, 0xff}, color.RGBA{0xe6, 0x9f, 0x00, 0xff}, color.RGBA{0x00, 0x9e, 0x73, 0xff},
		color.RGBA{0xcc, 0x79, 0xa7, 0xff}, color.RGBA{0xd5, 0x5e, 0x00, 0xff}, color.RGBA{0x56, 0xb4, 0xe9, 0xff},
	}
	travelColour = color.RGBA{0xb0, 0xb0, 0xb0, 0xff}
	codingColour = color.RGBA{0x60, 0x60, 0x60, 0xff}
)

func colour(i int) color.Color { return palette[i%len(palette)] }

// newPlot is an empty plot in the style of all figures.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Font.Size = 12
	p.Title.Padding = 6
	p.X.Padding, p.Y.Padding = 4, 4
	p.Legend.Top, p.Legend.Padding = true, 3
	return p
}

// milliseconds is a duration as figures show it.
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
