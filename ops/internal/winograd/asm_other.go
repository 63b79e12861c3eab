//go:build (!amd64 && !arm64) || purego

package winograd

var assembly []implementation
