//go:build amd64 && !purego

package dwconv

import "scission/ops/internal/isa"

var assembly = []implementation{
	{isa.AVX512, walking(8, anyAVX512), map[[2]int]walker{
		{3, 1}: walking(11, taps3S1AVX512), {3, 2}: walking(11, taps3S2AVX512),
		{5, 1}: walking(11, taps5S1AVX512), {5, 2}: walking(11, taps5S2AVX512),
		{7, 1}: walking(11, taps7S1AVX512), {7, 2}: walking(11, taps7S2AVX512),
	}},
	{isa.AVX2, walking(8, anyAVX2), map[[2]int]walker{
		{3, 1}: walking(11, taps3S1AVX2), {3, 2}: walking(11, taps3S2AVX2),
		{5, 1}: walking(9, taps5S1AVX2), {5, 2}: walking(9, taps5S2AVX2),
		{7, 1}: walking(7, taps7S1AVX2), {7, 2}: walking(7, taps7S2AVX2),
	}},
}
