// Command kerneltest generates the arm64 loop that measures how many multiply-adds a processor does at most.
package main

import . "scission/ops/internal/asmgen/neon"

// fmas is the number of multiply-adds of one round, each into its own register: enough for four units with a latency
// of six cycles.
const fmas = 24

func main() {
	Main(func(f *File) {
		f.Func("peakNEON", "(rounds int)", "does 24 multiply-adds of full vectors a round, without touching memory.", func(g *Func) {
			n, all := g.Arg("rounds"), Vecs(0, fmas+2)
			for _, v := range all {
				g.Zero(v)
			}
			g.Label("round")
			for _, v := range all[:fmas] {
				g.FMLA(v, all[fmas], all[fmas+1])
			}
			g.Down(n, "round")
		})
	})
}
