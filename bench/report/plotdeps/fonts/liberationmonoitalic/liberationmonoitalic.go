// Package liberationmonoitalic stands for the Liberation font of that name, see the README.md above.
package liberationmonoitalic

import "golang.org/x/image/font/gofont/goregular"

// TTF is a Go font.
var TTF = goregular.TTF
