//go:build arm64 && !purego

package pool

import "scission/ops/internal/isa"

var asmImpls = []impl{{name: "NEON", level: isa.NEON, max: f32PoolMaxNEON, avg: f32PoolAvgNEON}}
