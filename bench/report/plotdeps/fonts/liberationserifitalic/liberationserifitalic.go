// Package liberationserifitalic stands for the Liberation font of that name, see the README.md above.
package liberationserifitalic

import "golang.org/x/image/font/gofont/goregular"

// TTF is a Go font.
var TTF = goregular.TTF
