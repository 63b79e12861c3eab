// Package liberationserifbolditalic stands for the Liberation font of that name, see the README.md above.
package liberationserifbolditalic

import "golang.org/x/image/font/gofont/gobold"

// TTF is a Go font.
var TTF = gobold.TTF
