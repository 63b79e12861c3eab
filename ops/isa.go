package ops

import "scission/ops/internal/isa"

// ISA names the instruction set of the kernels in use, such as "avx2". Those
// that fuse multiply and add, which all but "go" do, give the same results;
// those of "go" differ in the last bits.
func ISA() string { return isa.Best().String() }

// CheckISA returns an error if the environment asks for an instruction set that
// is unknown or not to be had here. The best one is then in use.
func CheckISA() error { return isa.Err() }
