// Package liberationsansbolditalic stands for the Liberation font of that name, see the module's README.md.
package liberationsansbolditalic

import "golang.org/x/image/font/gofont/gobolditalic"

// TTF is a Go font.
var TTF = gobolditalic.TTF
