// Package liberationserifbolditalic stands for the Liberation font of that name, see the module's README.md.
package liberationserifbolditalic

import "golang.org/x/image/font/gofont/gobolditalic"

// TTF is a Go font.
var TTF = gobolditalic.TTF
