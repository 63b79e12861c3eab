// Package mtex has what gonum.org/v1/plot wants of the package of that name, see the README.md above.
package mtex

import (
	"errors"

	"codeberg.org/go-latex/latex/drawtex"
	"codeberg.org/go-latex/latex/font/ttf"
	"codeberg.org/go-latex/latex/tex"
)

var errLeftOut = errors.New("mtex: LaTeX is left out of this program")

// Parse fails.
func Parse(expr string, size, dpi float64, backend *ttf.Backend) (tex.Box, error) {
	return nil, errLeftOut
}

// Renderer draws what a Canvas has on it.
type Renderer interface {
	Render(width, height, dpi float64, c *drawtex.Canvas) error
}
