package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("ReverseSequence", 10, func(a *Attrs) graph.Op {
		r := reverseSequence{a.Int("batch_axis", 1), a.Int("time_axis", 0)}
		if min(r.batch, r.time) != 0 || max(r.batch, r.time) != 1 {
			a.Fail("attributes %q and %q are %d and %d, want 0 and 1", "batch_axis", "time_axis", r.batch, r.time)
		}
		return r
	})
}

// reverseSequence reverses the beginning of each sequence of a batch.
//
//	x, y: [time, batch, ...] or [batch, time, ...] any type
//	lengths: [batch] i64, how much of each sequence is reversed, 0 to time
//
// Source: ONNX ReverseSequence-10.
type reverseSequence struct{ batch, time int }

func (reverseSequence) String() string { return "ReverseSequence" }

func (r reverseSequence) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	x := in[0].Shape
	if len(x) < 2 {
		return nil, fmt.Errorf("x has shape %v, want rank 2 or more", x)
	}
	if in[1].DType != tensor.Int64 {
		return nil, fmt.Errorf("sequence_lens is %v, want int64", in[1].Type)
	}
	if err := checkShape("sequence_lens", in[1], x[r.batch]); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: in[0].Type}}, nil
}

func (r reverseSequence) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	x, st := in[0].Shape, strides(in[0].Shape[:2])
	batches, times := x[r.batch], x[r.time]
	return rowsKernel("rows", batches*times, x[2:].Elems()*in[0].DType.Size(), func(in []*tensor.Tensor, i int) (int, error) {
		b, t := i/st[r.batch]%batches, i/st[r.time]%times
		n := in[1].I64()[b]
		if n < 0 || n > int64(times) {
			return 0, fmt.Errorf("length %d is %d, want 0 to %d", b, n, times)
		}
		if t < int(n) {
			t = int(n) - 1 - t
		}
		return b*st[r.batch] + t*st[r.time], nil
	}), nil
}
