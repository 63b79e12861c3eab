// Package drawtex has what gonum.org/v1/plot wants of the package of that name, see the README.md above.
package drawtex

import "golang.org/x/image/font/opentype"

// Canvas has nothing on it.
type Canvas struct{}

// New returns a Canvas.
func New() *Canvas { return &Canvas{} }

// Ops returns nothing.
func (*Canvas) Ops() []any { return nil }

// GlyphOp would draw a glyph.
type GlyphOp struct {
	X, Y  float64
	Glyph struct {
		Font   *opentype.Font
		Size   float64
		Symbol string
	}
}

// RectOp would draw a rectangle.
type RectOp struct{ X1, Y1, X2, Y2 float64 }
