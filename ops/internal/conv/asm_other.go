//go:build (!amd64 && !arm64) || purego

package conv

var assembly []implementation
