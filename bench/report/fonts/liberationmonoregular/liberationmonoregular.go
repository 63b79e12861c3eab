// Package liberationmonoregular stands for the Liberation font of that name, see the module's README.md.
package liberationmonoregular

import "golang.org/x/image/font/gofont/goregular"

// TTF is a Go font.
var TTF = goregular.TTF
