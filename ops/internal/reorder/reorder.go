// Package reorder moves values between memory layouts: row-major and NCHW16c, and any permutation of dimensions.
//
// It knows slices and integers, not tensors, operators or threads. NCHW16c is [N][ceil(C/16)][H][W][16]: channel c of
// an image lies in block c/16, lane c%16; the lanes of missing channels in the last block, the pad lanes, are zero.
// Reordering copies bits, so every implementation gives the same.
package reorder

import "fmt"

// Lanes is the number of channels in a block of NCHW16c.
const Lanes = 16

// Transpose writes the transpose of a rows×cols matrix: dst[j*ds+i] = src[i*ss+j] for i < rows, j < cols. The slices
// may not overlap. It panics if one is too short.
func Transpose(dst []float32, ds int, src []float32, ss, rows, cols int) {
	best.run(dst, ds, src, ss, rows, cols)
}

// run does what Transpose does.
func (im *impl) run(dst []float32, ds int, src []float32, ss, rows, cols int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	need("source", len(src), (rows-1)*ss+cols)
	need("destination", len(dst), (cols-1)*ds+rows)
	i, j := 0, 0 // what tiles has done: rows and columns
	if im.tiles != nil && rows >= tile && cols >= tile {
		i, j = rows-rows%tile, cols-cols%tile
		for r := 0; r < i; r += tileRows {
			for c := 0; c < j; c += tileCols {
				im.tiles(dst[c*ds+r:], ds, src[r*ss+c:], ss, min(tileRows, i-r), min(tileCols, j-c))
			}
		}
	}
	if j < cols {
		transpose(dst[j*ds:], ds, src[j:], ss, i, cols-j)
	}
	if i < rows {
		transpose(dst[i:], ds, src[i*ss:], ss, rows-i, cols)
	}
}

// Pack converts block cb of one image with c channels of hw positions from row-major, src [c][hw], to dst [hw][16] of
// NCHW16c. It panics if a slice is too short or there is no such block.
func Pack(dst, src []float32, c, hw, cb int) { best.pack(dst, src, c, hw, cb) }

func (im *impl) pack(dst, src []float32, c, hw, cb int) {
	n := lanes(c, cb)
	dst = dst[:hw*Lanes]
	im.run(dst, Lanes, src[cb*Lanes*hw:], hw, n, hw)
	if n < Lanes {
		for p := 0; p < len(dst); p += Lanes {
			clear(dst[p+n : p+Lanes])
		}
	}
}

// Unpack converts block cb of one image with c channels of hw positions from NCHW16c, src [hw][16], to row-major,
// dst [c][hw], of which it writes that block's channels only. It panics if a slice is too short or there is no such
// block.
func Unpack(dst, src []float32, c, hw, cb int) { best.unpack(dst, src, c, hw, cb) }

func (im *impl) unpack(dst, src []float32, c, hw, cb int) {
	im.run(dst[cb*Lanes*hw:], hw, src[:hw*Lanes], Lanes, hw, lanes(c, cb))
}

// lanes returns the number of channels in block cb of c channels.
func lanes(c, cb int) int {
	n := min(Lanes, c-cb*Lanes)
	if cb < 0 || n <= 0 {
		panic(fmt.Sprintf("reorder: block %d of %d channels, want 0 to %d", cb, c, (c+Lanes-1)/Lanes-1))
	}
	return n
}

// need panics if a slice called name has fewer than want values.
func need(name string, got, want int) {
	if got < want {
		panic(fmt.Sprintf("reorder: %s has %d values, want %d", name, got, want))
	}
}

// Piece is the lanes [From, To) of a block of NCHW16c: lane l comes from lane l-Shift of another block. The zero Piece
// has no lanes.
type Piece struct{ From, To, Shift int }

// Join makes a block of lanes of two blocks: at each position, lanes of dst come from a as pa says, or from b as pb
// says; those that are in neither piece are zero, and none is in both. dst may not overlap a or b. It panics if a slice
// is shorter than dst, dst has a part of a position, or a piece has lanes that a block has not.
func Join(dst, a, b []float32, pa, pb Piece) { best.runJoin(dst, a, b, pa, pb) }

func (im *impl) runJoin(dst, a, b []float32, pa, pb Piece) {
	need("a", len(a), len(dst))
	need("b", len(b), len(dst))
	for _, p := range [...]Piece{pa, pb} {
		if p.From < max(0, p.Shift) || p.From > Lanes || p.To > min(Lanes, Lanes+p.Shift) {
			panic(fmt.Sprintf("reorder: lanes %d to %d from %d before, want some of %d", p.From, p.To, p.Shift, Lanes))
		}
	}
	if len(dst)%Lanes != 0 {
		panic(fmt.Sprintf("reorder: destination has %d values, want a multiple of %d", len(dst), Lanes))
	}
	if len(dst) > 0 && im.join != nil {
		im.join(dst, a, b, pa.Shift, pb.Shift, mask(pa), mask(pb))
		return
	}
	clear(dst)
	for at := 0; at < len(dst); at += Lanes {
		copy(dst[at+pa.From:at+max(pa.From, pa.To)], a[at+pa.From-pa.Shift:])
		copy(dst[at+pb.From:at+max(pb.From, pb.To)], b[at+pb.From-pb.Shift:])
	}
}

// masks has the mask, ones where a lane is in it, of the lanes [from, to) at [from][to].
var masks = func() (m [Lanes + 1][Lanes + 1][Lanes]int32) {
	for from := range m {
		for to := range m[from] {
			for l := from; l < to; l++ {
				m[from][to][l] = -1
			}
		}
	}
	return m
}()

func mask(p Piece) *int32 { return &masks[p.From][max(p.From, p.To)][0] }
