//go:build !amd64 || purego

package winograd

var assembly []implementation
