package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Trilu", 14, func(a *Attrs) graph.Op { return trilu{a.Int("upper", 1) != 0} })
}

// trilu keeps the upper or the lower triangle of matrices, with the k-th diagonal
// above the main one, and has zeros elsewhere.
//
//	x, y: [..., rows, columns] any type
//	k: scalar i64, optional, 0
//
// Source: ONNX Trilu-14.
type trilu struct{ upper bool }

func (t trilu) String() string {
	if t.upper {
		return "Trilu[upper]"
	}
	return "Trilu[lower]"
}

func (t trilu) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 2); err != nil {
		return nil, err
	}
	if len(in[0].Shape) < 2 {
		return nil, fmt.Errorf("x has shape %v, want matrices", in[0].Shape)
	}
	if k := input(in, 1); !k.Missing() && (k.DType != tensor.Int64 || k.Shape.Elems() != 1) {
		return nil, fmt.Errorf("k is %v, want a scalar int64", k.Type)
	}
	return []graph.Fact{{Type: in[0].Type}}, nil
}

func (t trilu) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	x := out[0].Shape
	rows, cols, size := x[len(x)-2], x[len(x)-1], out[0].DType.Size()
	all := x[:len(x)-1].Elems()
	if out[0].Bytes() == 0 {
		return graph.Kernel{Info: "empty"}, nil
	}
	count := chunks(all, moveTime*float64(cols*size))
	return graph.Kernel{Info: "rows", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		k := int64(0)
		if t := operand(in, 1); t != nil {
			// Beyond these bounds it makes no difference.
			k = max(-int64(rows), min(t.I64()[0], int64(cols)))
		}
		lo, hi := span(all, count, i, 1)
		for r := lo; r < hi; r++ {
			x, y := in[0].Raw[r*cols*size:][:cols*size], out[0].Raw[r*cols*size:][:cols*size]
			// The first column of the upper triangle, or the first behind the lower one.
			edge := int64(r%rows) + k
			if !t.upper {
				edge++
			}
			at := int(max(0, min(edge, int64(cols)))) * size
			if t.upper {
				clear(y[:at])
				copy(y[at:], x[at:])
			} else {
				copy(y[:at], x[:at])
				clear(y[at:])
			}
		}
		return nil
	}}}}, nil
}
