//go:build !amd64 || purego

package conv

var assembly []implementation
