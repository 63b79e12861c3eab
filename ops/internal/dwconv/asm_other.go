//go:build (!amd64 && !arm64) || purego

package dwconv

var assembly []implementation
