//go:build !amd64 || purego

package pool

var asmImpls []impl
