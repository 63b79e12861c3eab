package dwconv

import (
	"fmt"

	"scission/ops/internal/isa"
)

//go:generate sh ../asmgen/generate.sh dwconv

// implementation is one way to compute tiles.
type implementation struct {
	level isa.Level
	any   walker            // for any taps
	walks map[[2]int]walker // for a number of taps side by side and a stride
}

// walker is a walk with the pixels of its largest tile.
type walker struct {
	pixels int
	run    walk
}

// walk computes the bands of n blocks, each row of outputs tile by tile. The slices begin with the first block. For
// each output of a tile, with p its pixel, lane its channel:
//
//	y = bias[lane] + sum over taps r < rows and c of max(floor, in[p + r·row + c·col][lane]) · w[r·weights + c][lane]
//
// and then the conv.Epilogue. A nil res is no residual. epi is what conv.Epilogue.Pack wrote.
type walk func(k *Kernel, bands []band, n int, in, w, epi, res, out []float32)

// String returns instruction set and tile: "avx2 11x16" is at most 11 pixels, by 16 channels.
func (i *implementation) String() string {
	pixels := i.any.pixels
	for _, w := range i.walks {
		pixels = max(pixels, w.pixels)
	}
	return fmt.Sprintf("%s %dx%d", i.level, pixels, block)
}

// implementations is the list that drives choice, parity tests and benchmarks, best first.
var implementations = append(assembly, implementation{level: isa.Go, any: walker{1, portable}})

// best returns the first implementation whose instruction set there is.
func best() *implementation {
	for i := range implementations {
		if isa.Have(implementations[i].level) {
			return &implementations[i]
		}
	}
	panic("dwconv: no implementation")
}
