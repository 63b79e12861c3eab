//go:build !amd64 || purego

package qconv

// What vector instructions do on other platforms.
var (
	quantiseAsm   func(dst *int16, x *float32, n int, step, lo, hi, nan float32)
	scaleAsm      func(dst *int16, x *float32, n int, inverse, rest, hi float32, floor int16)
	dequantiseAsm func(dst *float32, x *int16, n int, scale float32)
	interleaveAsm func(dst, x *int16, plane, n int)
	pairRowsAsm   func(dst, a, b *int16, rows, n, dstStep, srcStep int)
	widenAsm      func(dst *int16, src *byte, n, dstStep, srcStep int, flip, zero int16)
	narrowAsm     func(dst *byte, src *int16, n, dstStep int, zero int16)
	combineAsm    [Mul + 1]func(dst, a, b *int16, n int, scaleA, scaleB, step, lo, hi float32)
)

// extremesOf lowers the first half of ends to the first elements of x, raises the other, and returns how many these are.
func extremesOf([]float32, *[2 * extremeLanes]float32) int { return 0 }
