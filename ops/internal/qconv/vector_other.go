//go:build !amd64 || purego

package qconv

// What vector instructions do on other platforms.
var (
	quantiseAsm   func(dst *int16, x *float32, n int, step, lo, hi, nan float32)
	dequantiseAsm func(dst *float32, x *int16, n int, scale float32)
	interleaveAsm func(dst, x *int16, plane, n int)
	copyRowsAsm   func(dst, src *int16, rows, n, dstStep, srcStep int)
)
