//go:build !unix

package kerneltest

import "testing"

// havePages says that accesses past the end fault.
const havePages = false

func paged(_ testing.TB, n int, _ bool) []float32 { return make([]float32, n) }
