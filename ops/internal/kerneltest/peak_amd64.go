//go:build amd64 && !purego

package kerneltest

import "scission/ops/internal/isa"

func peakLoop(l isa.Level) func(rounds int) {
	switch {
	case l == isa.AVX2 && isa.Have(l):
		return peakAVX2
	case l == isa.AVX512 && isa.Have(l):
		return peakAVX512
	}
	return nil
}
