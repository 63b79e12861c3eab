// Package liberationsansitalic stands for the Liberation font of that name, see the module's README.md.
package liberationsansitalic

import "golang.org/x/image/font/gofont/goitalic"

// TTF is a Go font.
var TTF = goitalic.TTF
