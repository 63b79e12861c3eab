//go:build !amd64 || purego

package vec

var asmImpls []impl
