//go:build arm64 && !purego

package reorder

import "scission/ops/internal/isa"

var asmImpls = []impl{{name: "8x4 NEON", level: isa.NEON, tiles: x32Transpose8x4NEON}}
