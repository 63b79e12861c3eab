// Package ttf has what gonum.org/v1/plot wants of the package of that name, see the README.md above.
package ttf

import (
	"codeberg.org/go-latex/latex/drawtex"
	"golang.org/x/image/font/opentype"
)

// Fonts is the faces of a text.
type Fonts struct{ Default, Rm, It, Bf, BfIt *opentype.Font }

// Backend draws nothing.
type Backend struct{}

// NewFrom returns a Backend.
func NewFrom(*drawtex.Canvas, *Fonts) *Backend { return &Backend{} }
