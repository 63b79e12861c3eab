package neon

import "fmt"

// Block is the channels of a block of NCHW16c, the columns of a Tile, and Vectors the vectors of these.
const (
	Block   = 16
	Vectors = Block / Lanes
)

// Rows is the rows of the largest Tile that the registers hold.
const Rows = 6

// Quad is the values of a row that Multiply takes from one vector.
const Quad = Lanes

// Tile is sums in registers: rows of 16 columns.
type Tile struct {
	Acc []Vec // vector j of row i is Acc[i*Vectors+j]
	x   []Vec // a value of each row, or Quad of them
	w   []Vec // two vectors of weights
}

// NewTile returns a tile of 1 to 6 rows.
func NewTile(rows int) Tile {
	return Tile{Acc: Vecs(0, rows*Vectors), x: Vecs(rows*Vectors, rows), w: Vecs(rows*(Vectors+1), 2)}
}

// Spare returns registers that are not sums; Multiply uses some of them.
func (t Tile) Spare() []Vec { return Vecs(len(t.Acc), 32-len(t.Acc)) }

// Multiply emits k rounds of the product, 1 or Quad: each row's next k values times as many rows of weights. x loads
// the values of row i, w vector j of the weights of round u. A vector of weights is loaded while the one before it is
// used.
func (t Tile) Multiply(g *Func, k int, x func(i int, v Vec), w func(u, j int, v Vec)) {
	for i, v := range t.x {
		x(i, v)
	}
	load := func(s int) { w(s/Vectors, s%Vectors, t.w[s%2]) }
	load(0)
	for s := range k * Vectors {
		if s+1 < k*Vectors {
			load(s + 1)
		}
		for i, v := range t.x {
			g.FMLALane(t.Acc[i*Vectors+s%Vectors], t.w[s%2], v, s/Vectors)
		}
	}
}

// Dispatch jumps to the label, name and number, that the number in r, at least lo and at most hi, says, by halves. It
// writes labels of its own.
func (g *Func) Dispatch(r Reg, lo, hi int, name string) {
	if lo == hi {
		g.P("B %s%d", name, lo)
		return
	}
	middle := (lo + hi + 1) / 2
	from := fmt.Sprintf("%sFrom%d", name, middle)
	g.P("CMP $%d, %v", middle, r)
	g.P("BGE %s", from)
	g.Dispatch(r, lo, middle-1, name)
	g.Label(from)
	g.Dispatch(r, middle, hi, name)
}

// FMAX sets d to the larger of n and m, or to a NaN if one of them is; 0 is larger than -0.
func (g *Func) FMAX(d, n, m Vec) { g.three(0x4e20f400, "fmax", d, n, m) }

// Epilogue is conv.Epilogue without the bias, for pixels of one block of channels.
type Epilogue struct {
	Label       string // before the names of labels, where a function has several
	Wide        int    // vectors of a pixel; 0 is Vectors
	Acc         []Vec  // vector j of pixel i is Acc[i*Wide+j]
	Spare       []Vec  // three others
	Args        Reg    // where these are:
	Scale, Mask int    // ints, not 0 if the epilogue has them
	Lo, Hi      int    // float32s
	Channels    Reg    // bias, scale, shift and mask of the channels, one after the other
	Res, Out    Reg    // of the first pixel; Res is 0 without a residual, then it is left alone
	NextPixel   func(r Reg)
}

// Store writes the code. It leaves Out, and Res unless it is 0, behind the pixels, and the sums changed.
func (e Epilogue) Store(g *Func) {
	const scale, shift, mask = Block * 4, 2 * Block * 4, 3 * Block * 4
	wide := e.Wide
	if wide == 0 {
		wide = Vectors
	}
	a, b, c := e.Spare[0], e.Spare[1], e.Spare[2]
	flag := g.GP()
	column := func(j int) (vs []Vec) {
		for i := j; i < len(e.Acc); i += wide {
			vs = append(vs, e.Acc[i])
		}
		return vs
	}
	pixel := func(i int) []Vec { return e.Acc[i*wide:][:wide] }

	g.P("MOVD %d(%v), %v", e.Scale, e.Args, flag)
	g.IfZero(flag, e.Label+"scaled")
	for j := range wide {
		g.Load(e.Channels, scale+j*VectorBytes, a)
		g.Load(e.Channels, shift+j*VectorBytes, b)
		for _, v := range column(j) {
			g.MoveVec(b, c)
			g.FMLA(c, v, a)
			g.MoveVec(c, v)
		}
	}
	g.Label(e.Label + "scaled")
	g.IfZero(e.Res, e.Label+"added")
	for i := range len(e.Acc) / wide {
		for j, v := range pixel(i) {
			g.Load(e.Res, j*VectorBytes, a)
			g.FADD(v, a, v)
		}
		e.NextPixel(e.Res)
	}
	g.Label(e.Label + "added")
	for i, at := range [...]int{e.Lo, e.Hi} {
		g.P("ADD $%d, %v, %v", at, e.Args, flag)
		g.P("VLD1R (%v), [V%d.S4]", flag, e.Spare[i])
	}
	for _, v := range e.Acc {
		g.Clamp(a, b, v, c)
	}
	g.P("MOVD %d(%v), %v", e.Mask, e.Args, flag)
	g.IfZero(flag, e.Label+"masked")
	for j := range wide {
		g.Load(e.Channels, mask+j*VectorBytes, a)
		for _, v := range column(j) {
			g.And(v, a, v)
		}
	}
	g.Label(e.Label + "masked")
	for i := range len(e.Acc) / wide {
		g.Store(e.Out, 0, pixel(i)...)
		e.NextPixel(e.Out)
	}
	g.Free(flag)
}
