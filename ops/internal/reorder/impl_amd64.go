//go:build amd64 && !purego

package reorder

import "scission/ops/internal/isa"

//go:generate sh ../asmgen/generate.sh reorder

// Moving values is bound by memory, so AVX-512 would add nothing.
var asmImpls = []impl{{name: "8x8 AVX2", level: isa.AVX2, tiles: x32Transpose8x8AVX2, join: x32JoinAVX2}}
