//go:build (!amd64 && !arm64) || purego

package pool

var asmImpls []impl
