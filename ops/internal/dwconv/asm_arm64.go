//go:build arm64 && !purego

package dwconv

import "scission/ops/internal/isa"

var assembly = []implementation{
	{isa.NEON, walking(8, anyNEON), map[[2]int]walker{
		{3, 1}: walking(11, taps3S1NEON), {3, 2}: walking(11, taps3S2NEON),
		{5, 1}: walking(11, taps5S1NEON), {5, 2}: walking(11, taps5S2NEON),
		{7, 1}: walking(11, taps7S1NEON), {7, 2}: walking(11, taps7S2NEON),
	}},
}
