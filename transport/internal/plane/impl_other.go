//go:build (!amd64 && !arm64) || purego

package plane

func asmImpls() []impl { return nil }

func limitsFast(*extremes, *byte, int) {}
