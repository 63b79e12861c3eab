//go:build arm64 && !purego

package kerneltest

import "scission/ops/internal/isa"

func peakLoop(l isa.Level) func(rounds int) {
	if l == isa.NEON && isa.Have(l) {
		return peakNEON
	}
	return nil
}
