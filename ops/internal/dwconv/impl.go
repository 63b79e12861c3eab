package dwconv

import (
	"fmt"

	"scission/ops/internal/isa"
)

//go:generate sh ../asmgen/generate.sh dwconv

// implementation is one way to compute tiles.
type implementation struct {
	level  isa.Level
	pixels int // of the largest tile
	fewest int // pixels that a tile should have
	run    batchFunc
}

// batchFunc computes one batch of one block. For each output of an area, with p its pixel, lane its channel:
//
//	y = bias[lane] + sum over taps r < rows, c < cols of in[p + r·row + c·col][lane] · w[r·weights + c][lane]
//
// and then the conv.Epilogue. A nil res is no residual. epi is what conv.Epilogue.Pack wrote.
type batchFunc func(b *batch, in, w, epi, res, out []float32)

// String returns instruction set and tile: "avx2 6x16".
func (i *implementation) String() string { return fmt.Sprintf("%s %dx%d", i.level, i.pixels, block) }

// implementations is the list that drives choice, parity tests and benchmarks, best first.
var implementations = append(assembly, implementation{level: isa.Go, pixels: 1, fewest: 1, run: portable})

// best returns the first implementation whose instruction set there is.
func best() *implementation {
	for i := range implementations {
		if isa.Have(implementations[i].level) {
			return &implementations[i]
		}
	}
	panic("dwconv: no implementation")
}
