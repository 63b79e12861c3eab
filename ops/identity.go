package ops

import "scission/engine/graph"

func init() {
	register("Identity", 1, func(*Attrs) graph.Op { return identity{} })
}

// identity is y = x.
//
//	x, y: any value
//
// Source: ONNX Identity-1, -13, -14, -16, -19, -21, -23, -24, -25.
type identity struct{}

func (identity) String() string { return "Identity" }

func (identity) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := countInputs(in, 1, 1); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: in[0].Type}}, nil
}

func (identity) Compile(in, out []graph.Fact) (graph.Kernel, error) { return view, nil }

// Tile computes rows from the same rows of the inputs.
func (i identity) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	return tileRows(i, in, out, rows)
}

// Rewrite removes the node.
func (identity) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) { return bypass(e, n), nil }
