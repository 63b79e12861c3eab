package reorder

import "scission/ops/internal/isa"

// impl transposes with one instruction set.
type impl struct {
	name  string
	level isa.Level

	// tiles does Transpose where rows and cols are positive multiples of tile; nil if there is only portable code.
	tiles func(dst []float32, ds int, src []float32, ss, rows, cols int)

	// join does Join where dst is not empty, with the shifts da and db, and the masks of 16 lanes of a and of b; nil if
	// there is only portable code.
	join func(dst, a, b []float32, da, db int, maskA, maskB *int32)
}

const (
	// tile is the width of the square that an impl transposes in registers.
	tile = 8

	// tileRows and tileCols bound what one call of an impl's tiles does, so that the lines of memory that it writes
	// parts of stay in the first level cache, and the time in assembly, which the Go runtime cannot interrupt.
	tileRows, tileCols = 64, 64
)

// impls lists the implementations, the fastest first.
var impls = append(asmImpls, impl{name: "go", level: isa.Go})

// best is the first implementation that this processor has.
var best = func() *impl {
	i := 0
	for !isa.Have(impls[i].level) {
		i++
	}
	return &impls[i]
}()

// transpose is the portable Transpose, for values of any size. It goes through squares whose lines of memory stay in
// the first level cache.
func transpose[T any](dst []T, ds int, src []T, ss, rows, cols int) {
	const square = 16
	for i0 := 0; i0 < rows; i0 += square {
		i1 := min(i0+square, rows)
		for j0 := 0; j0 < cols; j0 += square {
			j1 := min(j0+square, cols)
			for j := j0; j < j1; j++ {
				d := dst[j*ds+i0 : j*ds+i1]
				at := i0*ss + j
				for i := range d {
					d[i] = src[at]
					at += ss
				}
			}
		}
	}
}
