//go:build (!amd64 && !arm64) || purego

package reorder

var asmImpls []impl
