//go:build (!amd64 && !arm64) || purego

package qconv

var assembly []implementation
