//go:build amd64 && !purego

package pool

import "scission/ops/internal/isa"

//go:generate sh ../asmgen/generate.sh pool

var asmImpls = []impl{
	{name: "AVX-512", level: isa.AVX512, max: f32PoolMaxAVX512, avg: f32PoolAvgAVX512},
	{name: "AVX2", level: isa.AVX2, max: f32PoolMaxAVX2, avg: f32PoolAvgAVX2},
}
