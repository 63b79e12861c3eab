package winograd

import (
	"scission/ops/internal/conv"
	"scission/ops/internal/isa"
)

//go:generate sh ../asmgen/generate.sh winograd

// implementation is one way to do the three parts of the convolution.
type implementation struct {
	level   isa.Level
	vector  int           // float32s of a register
	tiles   []productTile // narrowest first; the first is of one block
	input   inputFunc
	product productFunc
	output  outputFunc
	lines   map[*line]lineFuncs
}

// productTile is the size of the largest tile of a width.
type productTile struct {
	width  int // output channels: a multiple of lanes, or of half of them, and then tiles come in pairs
	pixels int
	fewest int // pixels that a tile should have
}

// pair returns the fewest blocks of output channels that tiles cover, and how many do.
func (t *productTile) pair() (blocks, tiles int) {
	if t.width%lanes == 0 {
		return t.width / lanes, 1
	}
	return 2 * t.width / lanes, 2
}

// panel is output channels of a set, from column on, that one tile after the other computes for all pixels of a part.
type panel struct {
	*productTile
	column int
}

// leastLoads is how many vectors a tile loads, for each value of a pixel, in the time that it takes at least.
const leastLoads = 7

// panels divides so many blocks of output channels into those of the tiles that are best for so many pixels.
func (i *implementation) panels(blocks, pixels int) (ps []panel) {
	most, _ := i.cheapest(blocks, pixels)
	for column := 0; column < blocks; {
		t := i.next(most, blocks-column)
		size, count := t.pair()
		for n := range count {
			ps = append(ps, panel{t, column*lanes + n*t.width})
		}
		column += size
	}
	return ps
}

// next returns the tile for the first of so many blocks: the one that most of them get if it fits, else the widest.
func (i *implementation) next(most *productTile, blocks int) *productTile {
	if size, _ := most.pair(); size <= blocks {
		return most
	}
	t := &i.tiles[0]
	for j := range i.tiles {
		if size, _ := i.tiles[j].pair(); size <= blocks {
			t = &i.tiles[j]
		}
	}
	return t
}

// cheapest returns the tile that most of so many blocks of output channels should get, and the loads of all tiles for
// each input channel: they are what limits tiles.
func (i *implementation) cheapest(blocks, pixels int) (best *productTile, least int) {
	for j := range i.tiles {
		most, cost := &i.tiles[j], 0
		for left := blocks; left > 0; {
			t := i.next(most, left)
			size, count := t.pair()
			cost += left / size * count * i.loads(t, pixels)
			left %= size
		}
		if best == nil || cost < least {
			best, least = most, cost
		}
	}
	return best, least
}

// loads returns the loads of the tiles of a panel for each input channel.
func (i *implementation) loads(t *productTile, pixels int) (n int) {
	full, rest, tiles := conv.Split(pixels, t.pixels, t.fewest)
	n = full * max(leastLoads, t.width/i.vector+t.pixels)
	for ; tiles > 0; tiles-- {
		size := ceil(rest, tiles)
		n += max(leastLoads, t.width/i.vector+size)
		rest -= size
	}
	return n
}

// lineFuncs is the transforms for a line.
type lineFuncs struct {
	input  lineInputFunc
	output lineOutputFunc
}

// inputFunc transforms patches of one block of channels: it sets value f of tile t to v[f·r.plane + t·16 + lane] for
// r.count tiles. The patch of the first starts r.at behind in, which may be before it where rows or columns are
// missing. temp is memory for tempLen values.
type inputFunc func(r inputRun, in, v, temp []float32)

// inputRun is tiles of a row of tiles whose patches lack the same rows and columns. The steps count float32s. Assembly
// reads the fields by their place.
type inputRun struct {
	at          int // of the first patch in the input
	row         int // from a row of the input to the next
	top, bottom int // rows [top, bottom) of the patches exist; the others are zero
	left, right int // columns, likewise
	plane       int // from a value of a tile to the next
	count       int // tiles
}

// productFunc multiplies count tiles of pixels, which are tiles of the image, by weights:
//
//	y[p][oc] = sum over ic of x[p][ic] · w[ic][oc], from the first ic to the last
//
// or adds them to what y holds, in the same order. x and y lie in blocks of 16 channels, w is [ic][width]; the first
// output channel is the lane of a block, at y. It may fetch weights that are needed next from ahead on, which is a hint
// and never read.
type productFunc func(r *productRun, x, w, ahead, y []float32, count, pixels, width, lane int)

// productRun is what products have in common. The steps count bytes. Assembly reads the fields by their place.
type productRun struct {
	blocks    int // of 16 input channels
	singles   int // input channels after them
	stepX     int // from a block of input channels to the next
	stepY     int // from a block of output channels to the next
	stepAhead int // by which to fetch ahead for every four input channels
	add       int // 1 to add to y
}

// outputFunc transforms the products m of one block of channels, laid out like those of an inputFunc, of r.count tiles
// into r.rows by r.cols pixels each, adds the bias and does the rest of conv.Epilogue. epi has 16 values each of bias,
// scale, shift and mask. A nil res is no residual.
type outputFunc func(r outputRun, m, epi, res, out, temp []float32)

// outputRun is tiles of a row of tiles of which the same rows and columns are wanted. Assembly reads the fields by
// their place.
type outputRun struct {
	plane int // from a value of a tile to the next
	row   int // from a row of the output to the next
	rows  int // wanted of each tile, 1 to 4
	cols  int // likewise
	count int // tiles
	epilogueRun
}

// epilogueRun is what all runs of a kernel have in common.
type epilogueRun struct {
	scale, mask int // 1 if the epilogue has them
	lo, hi      float32
}

// lineInputFunc is an inputFunc whose patches are lines.
type lineInputFunc func(r lineInputRun, in, v []float32)

// lineInputRun is patches that lack the same values. The steps count float32s. Assembly reads the fields by their place.
// Where values are missing, count times next is at most lineZeros.
type lineInputRun struct {
	at       int // of the first patch in the input
	step     int // from a value of a patch to the next
	next     int // from a patch to the next
	from, to int // values [from, to) of the patches exist; the others are zero
	plane    int // from a value of a tile to the next, once it is transformed
	count    int // tiles
}

// lineZeros is how many float32s are readable in place of a value that is missing.
const lineZeros = 64 * lanes

// lineOutputFunc is an outputFunc whose tiles are lines.
type lineOutputFunc func(r lineOutputRun, m, epi, res, out, temp []float32)

// lineOutputRun is tiles of which as many outputs are wanted. Assembly reads the fields by their place.
type lineOutputRun struct {
	plane  int // from a value of a tile to the next
	step   int // from an output of a tile to the next
	next   int // from a tile to the next
	wanted int // outputs of each tile, 1 to 4
	count  int // tiles
	epilogueRun
}

// implementations is the list that drives choice, parity tests and benchmarks, best first.
var implementations = append(assembly, implementation{
	level: isa.Go, vector: 1, tiles: []productTile{{width: lanes, pixels: 1, fewest: 1}}, input: portableInput, product: portableProduct, output: portableOutput,
	lines: map[*line]lineFuncs{line3: {line3.portableInput, line3.portableOutput}, line7: {line7.portableInput, line7.portableOutput}},
})

// best returns the first implementation whose instruction set there is.
func best() *implementation {
	for i := range implementations {
		if isa.Have(implementations[i].level) {
			return &implementations[i]
		}
	}
	panic("winograd: no implementation")
}
