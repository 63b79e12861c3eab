package graph

import "scission/engine/tensor"

// Rows is the rows [From, To) of a value.
type Rows struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// Height is the number of rows of a value of type t: those of an image [N C H W].
// A value of any other rank is one row.
func Height(t tensor.Type) int {
	if len(t.Shape) == 4 {
		return t.Shape[2]
	}
	return 1
}

// All is the rows of a value of type t.
func All(t tensor.Type) Rows { return Rows{0, Height(t)} }

// Len is the number of rows.
func (r Rows) Len() int { return r.To - r.From }

// Empty reports whether there are none.
func (r Rows) Empty() bool { return r.To <= r.From }

// Has reports whether all rows of s are among them.
func (r Rows) Has(s Rows) bool { return r.From <= s.From && s.To <= r.To }

// Hull is the rows from the first to the last of both.
func (r Rows) Hull(s Rows) Rows {
	switch {
	case r.Empty():
		return s
	case s.Empty():
		return r
	}
	return Rows{min(r.From, s.From), max(r.To, s.To)}
}

// Of is the type of these rows of a value of type t.
func (r Rows) Of(t tensor.Type) tensor.Type {
	if len(t.Shape) != 4 {
		return t
	}
	s := t.Shape.Clone()
	s[2] = r.Len()
	return tensor.Type{DType: t.DType, Shape: s}
}

// Tiler is an Op that can compute rows of its first result without the others,
// bit for bit as it computes them among all. No other result is wanted.
type Tiler interface {
	Op
	// Tile says how the given rows of out[0], at least one of them, are computed
	// for inputs and outputs of these facts; ok is false where they cannot be. It
	// depends on nothing else, least of all the machine.
	Tile(in, out []Fact, rows Rows) (t Tile, ok bool)
}

// Tile is how some rows of a result are computed.
type Tile struct {
	// Op gives the rows Makes from the rows Reads of the inputs.
	Op    Op
	Reads []Rows // by input; none of one that is omitted
	Makes Rows
	// Good is those of Makes that are the rows of the whole result; the others,
	// at either end, are anything. The rows that were asked for are among them.
	Good Rows
	// Share is about how long Op takes in proportion to the whole; 0 means as
	// many rows as it makes of all. The rows alone do not say it where an operator
	// reads large weights.
	Share float64
	// Free says that Op works row by row: Reads are Makes, or all rows of an
	// input that has one row for all of the result's, and further rows cost
	// little.
	Free bool
}
