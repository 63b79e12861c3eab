// Package fpdf has what gonum.org/v1/plot wants of the package of that name, see the README.md above.
package fpdf

import (
	"errors"
	"io"
)

var errNone = errors.New("fpdf: no PDF in this build")

// InitType says of what size pages are.
type InitType struct {
	UnitStr string
	Size    SizeType
}

// SizeType is a width and a height.
type SizeType struct{ Wd, Ht float64 }

// ImageOptions says what an image is.
type ImageOptions struct {
	ImageType string
	ReadDpi   bool
}

// ImageInfoType describes no image.
type ImageInfoType struct{}

// FontDescType describes no font.
type FontDescType struct{ Ascent, Descent int }

// MakeFont fails.
func MakeFont(font, encoding, dst string, log io.Writer, embed bool) error { return errNone }

// Fpdf is a document with nothing in it, whose methods do nothing.
type Fpdf struct{}

// NewCustom returns a document.
func NewCustom(*InitType) *Fpdf { return &Fpdf{} }

// Output fails.
func (*Fpdf) Output(io.Writer) error { return errNone }

func (*Fpdf) AddFontFromBytes(family, style string, json, z []byte)      {}
func (*Fpdf) AddPage()                                                   {}
func (*Fpdf) Arc(x, y, rx, ry, rotate, start, end float64, style string) {}
func (*Fpdf) CellFormat(w, h float64, text, border string, ln int, align string, fill bool, link int, url string) {
}
func (*Fpdf) Close()                                              {}
func (*Fpdf) ClosePath()                                          {}
func (*Fpdf) CurveBezierCubicTo(cx0, cy0, cx1, cy1, x, y float64) {}
func (*Fpdf) CurveTo(cx, cy, x, y float64)                        {}
func (*Fpdf) DrawPath(style string)                               {}
func (*Fpdf) GetCellMargin() float64                              { return 0 }
func (*Fpdf) GetFontDesc(family, style string) FontDescType       { return FontDescType{} }
func (*Fpdf) GetFontSize() (points, units float64)                { return 0, 0 }
func (*Fpdf) GetStringWidth(string) float64                       { return 0 }
func (*Fpdf) ImageOptions(name string, x, y, w, h float64, flow bool, o ImageOptions, link int, url string) {
}
func (*Fpdf) LineTo(x, y float64) {}
func (*Fpdf) MoveTo(x, y float64) {}
func (*Fpdf) PageNo() int         { return 0 }
func (*Fpdf) RegisterImageOptionsReader(name string, o ImageOptions, r io.Reader) *ImageInfoType {
	return nil
}
func (*Fpdf) SetAlpha(alpha float64, mode string)            {}
func (*Fpdf) SetDashPattern(dashes []float64, phase float64) {}
func (*Fpdf) SetDrawColor(r, g, b int)                       {}
func (*Fpdf) SetFillColor(r, g, b int)                       {}
func (*Fpdf) SetFont(family, style string, size float64)     {}
func (*Fpdf) SetLineWidth(float64)                           {}
func (*Fpdf) SetMargins(left, top, right float64)            {}
func (*Fpdf) SetTextColor(r, g, b int)                       {}
func (*Fpdf) TransformBegin()                                {}
func (*Fpdf) TransformEnd()                                  {}
func (*Fpdf) TransformRotate(angle, x, y float64)            {}
func (*Fpdf) TransformScale(sx, sy, x, y float64)            {}
func (*Fpdf) TransformTranslate(x, y float64)                {}
