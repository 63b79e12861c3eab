//go:build (!amd64 && !arm64) || purego

package gemm

var asmImpls []impl
