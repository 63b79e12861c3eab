package ops

import "scission/ops/internal/isa"

// ISA names the instruction set of the kernels in use, such as "avx2". The
// results of a network depend on it in their last bits.
func ISA() string { return isa.Best().String() }
