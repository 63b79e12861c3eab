package tile

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// Types returns the types of what a worker takes and gives, the inputs and
// outputs of its Graph.
func (p *Plan) Types(worker int) (in, out []tensor.Type) {
	types := func(vs []*graph.Value, rows []graph.Rows) (ts []tensor.Type) {
		for i, v := range vs {
			if !rows[i].Empty() {
				ts = append(ts, rows[i].Of(v.Type))
			}
		}
		return ts
	}
	t := &p.Tiles[worker]
	return types(p.Inputs, t.In), types(p.Outputs, t.Out)
}

// Take sets part, tensors of the types that a worker takes, to its rows of the
// inputs.
func (p *Plan) Take(worker int, in, part []*tensor.Tensor) {
	k := 0
	for i, r := range p.Tiles[worker].In {
		if !r.Empty() {
			move(in[i], part[k], r, true)
			k++
		}
	}
}

// Give sets a worker's rows of out, tensors of the types of the outputs, to what
// it gives.
func (p *Plan) Give(worker int, part, out []*tensor.Tensor) {
	k := 0
	for i, r := range p.Tiles[worker].Out {
		if !r.Empty() {
			move(out[i], part[k], r, false)
			k++
		}
	}
}

// Pass sets those of out that no worker gives: inputs that pass the stage by, and
// constants.
func (p *Plan) Pass(in, out []*tensor.Tensor) {
	for i, k := range p.kept {
		switch {
		case k == constant:
			out[i] = p.Outputs[i].Const
		case k >= 0:
			out[i] = in[k]
		}
	}
}

// Check verifies that inputs have the types that the stage takes.
func (p *Plan) Check(in []*tensor.Tensor) error {
	if len(in) != len(p.Inputs) {
		return fmt.Errorf("tile: got %d inputs, want %d", len(in), len(p.Inputs))
	}
	for i, t := range in {
		if t == nil || !t.Type.Equal(p.Inputs[i].Type) {
			return fmt.Errorf("tile: input %d is not %v", i, p.Inputs[i].Type)
		}
	}
	return nil
}

// move copies the rows r of whole to part, or part to them.
func move(whole, part *tensor.Tensor, r graph.Rows, out bool) {
	if len(whole.Raw) == 0 {
		return
	}
	height := graph.Height(whole.Type)
	planes, row := 1, len(whole.Raw)/height
	if len(whole.Shape) == 4 {
		planes = whole.Shape[0] * whole.Shape[1]
		row /= planes
	}
	length := r.Len() * row
	for p := range planes {
		rows, own := whole.Raw[p*height*row+r.From*row:][:length], part.Raw[p*length:][:length]
		if out {
			copy(own, rows)
		} else {
			copy(rows, own)
		}
	}
}
