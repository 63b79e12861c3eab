package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Shape", 1, func(*Attrs) graph.Op { return shapeOf{whole: true} })
	register("Shape", 15, func(a *Attrs) graph.Op {
		return shapeOf{start: a.Int("start", 0), end: a.Int("end", 0), whole: !a.Has("end")}
	})
	register("Size", 1, func(*Attrs) graph.Op { return sizeOf{} })
}

// shapeOf is the shape of x, a constant.
//
//	x: any type, any shape
//	y: [dimensions from start to before end] i64; start and end count from the
//	   back if they are negative, and stop at the ends
//
// Source: ONNX Shape-1, -13, -15, -19, -21, -23, -24, -25.
type shapeOf struct {
	start, end int
	whole      bool // to the end
}

func (s shapeOf) String() string {
	switch {
	case !s.whole:
		return fmt.Sprintf("Shape[%d:%d]", s.start, s.end)
	case s.start != 0:
		return fmt.Sprintf("Shape[%d:]", s.start)
	}
	return "Shape"
}

// of returns the result for x.
func (s shapeOf) of(x tensor.Shape) *tensor.Tensor {
	at := func(i int) int {
		if i < 0 {
			i += len(x)
		}
		return max(0, min(i, len(x)))
	}
	lo, hi := at(s.start), len(x)
	if !s.whole {
		hi = max(lo, at(s.end))
	}
	t := tensor.New(tensor.Int64, hi-lo)
	for i, d := range x[lo:hi] {
		t.I64()[i] = int64(d)
	}
	return t
}

func (s shapeOf) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	return []graph.Fact{graph.Constant("", s.of(in[0].Shape)).Fact}, nil
}

func (s shapeOf) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return given(s.of(in[0].Shape)), nil
}

// sizeOf is the number of elements of x, a constant.
//
//	x: any type, any shape
//	y: scalar i64
//
// Source: ONNX Size-1, -13, -19, -21, -23, -24, -25.
type sizeOf struct{}

func (sizeOf) String() string { return "Size" }

func (sizeOf) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	return []graph.Fact{graph.Constant("", tensor.Scalar(int64(in[0].Shape.Elems()))).Fact}, nil
}

func (sizeOf) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return given(tensor.Scalar(int64(in[0].Shape.Elems()))), nil
}
