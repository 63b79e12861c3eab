package conv

import (
	"fmt"
	"math"

	"scission/ops/internal/isa"
)

//go:generate sh ../asmgen/generate.sh conv

// implementation is one way to compute tiles.
type implementation struct {
	level     isa.Level
	tiles     []tile // narrowest first; the first is Block wide
	lacking   tile   // of more pixels than the others of its width, where at most
	reals     int    // so many of its channels are no pad channels
	straddles bool   // a tile may go on in the next row: each pixel has an offset of its own
	run       tileFunc
}

// tile is the size of the largest tile of a width.
type tile struct {
	width  int // output channels, a multiple of Block
	pixels int
	fewest int // pixels that a tile should have
}

// widest returns the widest tile for that many output channels, pad channels among them.
func (i *implementation) widest(channels int) tile {
	t := i.tiles[0]
	for _, wider := range i.tiles[1:] {
		if wider.width <= channels {
			t = wider
		}
	}
	return t
}

// fit returns the largest tile as wide as t for a block of which so many channels are no pad channels.
func (i *implementation) fit(t tile, reals int) tile {
	if t.width == i.lacking.width && reals <= i.reals {
		return i.lacking
	}
	return t
}

// tileFunc computes count tiles of pixels by width outputs that follow one another. For pixel p and output channel j:
//
//	y = start[p][j] + sum over the runs and their values r of in[run + off[p] + r] · w[next][j]
//
// and then the Epilogue; without a start the sum starts from bias[j]. A nil res is no residual. epi has width values
// each of bias, scale, shift and mask, a pattern of ones for channels that exist. It may fetch weights that are needed
// next from ahead on, which is a hint and never read.
type tileFunc func(l *loops, off *offsets, in, w, ahead, epi, start, res, out []float32, count, pixels, width int)

// String returns instruction set and the widest tile: "avx2 3x32".
func (i *implementation) String() string {
	t := i.widest(math.MaxInt)
	return fmt.Sprintf("%s %dx%d", i.level, t.pixels, t.width)
}

// implementations is the list that drives choice, parity tests and benchmarks, best first.
var implementations = append(assembly, implementation{
	level: isa.Go, tiles: []tile{{width: Block, pixels: 1, fewest: 1}}, straddles: true, run: portable,
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
