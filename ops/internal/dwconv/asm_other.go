//go:build !amd64 || purego

package dwconv

var assembly []implementation
