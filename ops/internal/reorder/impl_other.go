//go:build !amd64 || purego

package reorder

var asmImpls []impl
