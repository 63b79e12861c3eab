// Command kerneltest generates the loops that measure how many multiply-adds a processor does at most.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"

	"scission/ops/internal/asmgen/avx"
)

// fmas is the number of multiply-adds of one round, each into its own register or, past twelve, into one that was
// written twelve before: enough for two units with a latency of four or five cycles.
const fmas, accumulators = 24, 12

func main() {
	avx.BuildTags()
	for _, s := range []avx.ISA{avx.AVX2, avx.AVX512} {
		TEXT("peak"+s.Name, NOSPLIT, "func(rounds int)")
		Doc("peak" + s.Name + " does 24 multiply-adds of full vectors a round, without touching memory.")
		n := Load(Param("rounds"), GP64())
		for _, r := range s.Regs {
			s.Zero(r)
		}
		x, y := s.Regs[len(s.Regs)-1], s.Regs[len(s.Regs)-2]
		Label("round")
		for i := range fmas {
			VFMADD231PS(x, y, s.Regs[i%accumulators])
		}
		DECQ(n)
		JNZ(LabelRef("round"))
		VZEROUPPER()
		RET()
	}
	Generate()
}
