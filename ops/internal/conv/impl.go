package conv

import (
	"fmt"

	"scission/ops/internal/isa"
)

//go:generate sh ../asmgen/generate.sh conv

// implementation is one way to compute tiles.
type implementation struct {
	level     isa.Level
	pixels    int  // of the largest tile
	width     int  // output channels of a tile; a last block may have Block of them
	fewest    int  // pixels that a tile should have
	straddles bool // a tile may go on in the next row: each pixel has an offset of its own
	run       tileFunc
}

// tileFunc computes count tiles of pixels by width outputs that follow one another. For pixel p and output channel j:
//
//	y = bias[j] + sum over a, b, c, r of in[a·stepA + b·stepB + c·stepC + off[p] + r] · w[next][j]
//
// and then the Epilogue. A nil res is no residual. epi has width values each of bias, scale, shift and mask, a pattern
// of ones for channels that exist. It may fetch weights that are needed next from ahead on, which is a hint and never
// read.
type tileFunc func(l *loops, off *offsets, in, w, ahead, epi, res, out []float32, count, pixels, width int)

// String returns instruction set and tile: "avx2 6x16".
func (i *implementation) String() string { return fmt.Sprintf("%s %dx%d", i.level, i.pixels, i.width) }

// implementations is the list that drives choice, parity tests and benchmarks, best first.
var implementations = append(assembly, implementation{
	level: isa.Go, pixels: 1, width: Block, fewest: 1, straddles: true, run: portable,
})

// best returns the first implementation whose instruction set there is.
func best() *implementation {
	for i := range implementations {
		if isa.Have(implementations[i].level) {
			return &implementations[i]
		}
	}
	panic("conv: no implementation")
}
