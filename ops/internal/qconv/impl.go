package qconv

import (
	"fmt"

	"scission/ops/internal/isa"
)

//go:generate sh ../asmgen/generate.sh qconv

// implementation is one way to compute tiles.
type implementation struct {
	level           isa.Level
	missing         bool // the processor lacks something else
	pixels          int  // of the largest dense tile
	depthwisePixels int  // of the largest depthwise tile
	fewest          int  // pixels that a tile should have
	pairs           bool // tiles multiply pairs of values
	halves          bool // and channels lie as instructions for half vectors unpack and pack them, as those of depthwise pairs do

	dense, few, depthwise tileFunc // few is dense with taps of fewRun values; depthwise is nil if tiles multiply pairs

	depthwisePairs []tileAsm // depthwise tiles of 1 and more pixels that multiply pairs
}

// tileFunc computes lines of count tiles of pixels outputs that follow one another. For pixel p and output channel c, a dense
// one sums over taps t and i < run
//
//	in[taps[t]/2 + p·pixel/2 + i] · w[t][i][c]
//
// and a depthwise one over taps
//
//	in[taps[t]/2 + p·pixel/2 + c] · w[t][c]
//
// with weights in the order of the implementation; then comes the Epilogue. A nil res is no residual.
type tileFunc func(l *loops, taps []int, in, w []int16, epi, res []float32, out Out, count, lines, pixels int)

// tileAsm is the Go declaration of all tiles in assembly; l points to the first field of loops, res is nil if there is no
// residual.
type tileAsm = func(l, taps *int, in, w *int16, epi, res *float32, out *int16, count, lines int)

// String returns instruction set and tile: "avx2 6x16".
func (i *implementation) String() string { return fmt.Sprintf("%s %dx%d", i.level, i.pixels, Block) }

// implementations is the list that drives choice, parity tests and benchmarks, best first.
var implementations = append(assembly, implementation{
	level: isa.Go, pixels: 1, depthwisePixels: 1, fewest: 1, dense: portable(run), few: portable(fewRun), depthwise: portableDepthwise,
})

// best returns the first implementation whose instruction set there is.
func best() *implementation {
	for i := range implementations {
		if isa.Have(implementations[i].level) && !implementations[i].missing {
			return &implementations[i]
		}
	}
	panic("qconv: no implementation")
}
