package ops

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("NonMaxSuppression", 10, func(a *Attrs) graph.Op {
		n := nonMaxSuppression{}
		switch format := a.Int("center_point_box", 0); format {
		case 0:
		case 1:
			n.center = true
		default:
			a.Fail("attribute %q is %d, want 0 or 1", "center_point_box", format)
		}
		return n
	})
}

// nonMaxSuppression picks boxes, best score first, of which no two of the same
// class overlap by more than a threshold.
//
//	boxes: [N, B, 4] f32, two opposite corners (y, x, y, x), or with center the
//	       center and the size (x, y, w, h)
//	scores: [N, C, B] f32
//	most: boxes to pick of a class, i64, optional, 0
//	overlap: intersection over union that is still allowed, f32, optional, 0
//	least: score above which a box is picked, f32, optional
//	picked: [number, 3] i64, late: image, class, box
//
// Source: ONNX NonMaxSuppression-10, -11.
type nonMaxSuppression struct{ center bool }

func (nonMaxSuppression) String() string { return "NonMaxSuppression" }

// Bodies makes the operator one that is computed in a run alone, since boxes may
// be compared with each other.
func (nonMaxSuppression) Bodies() []*graph.Body { return nil }

func (n nonMaxSuppression) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 5); err != nil {
		return nil, err
	}
	b, s := in[0], in[1]
	if b.DType != tensor.Float32 || s.DType != tensor.Float32 || len(b.Shape) != 3 || len(s.Shape) != 3 ||
		b.Shape[2] != 4 || b.Shape[0] != s.Shape[0] || b.Shape[1] != s.Shape[2] {
		return nil, fmt.Errorf("got boxes %v and scores %v, want float32[N B 4] and float32[N C B]", b.Type, s.Type)
	}
	for i, d := range []tensor.DType{tensor.Int64, tensor.Float32, tensor.Float32} {
		if f := input(in, 2+i); !f.Missing() && (f.DType != d || f.Shape.Elems() != 1) {
			return nil, fmt.Errorf("input %d is %v, want one %v", 2+i, f.Type, d)
		}
	}
	return nil, late("the boxes")
}

// box is two corners and the area between them.
type box struct{ x0, y0, x1, y1, area float32 }

func (n nonMaxSuppression) box(b []float32) box {
	var r box
	if n.center {
		r = box{x0: b[0] - b[2]/2, y0: b[1] - b[3]/2, x1: b[0] + b[2]/2, y1: b[1] + b[3]/2}
	} else {
		r = box{x0: min(b[1], b[3]), y0: min(b[0], b[2]), x1: max(b[1], b[3]), y1: max(b[0], b[2])}
	}
	r.area = (r.x1 - r.x0) * (r.y1 - r.y0)
	return r
}

// overlap is the intersection over the union of two boxes.
func (a box) overlap(b box) float32 {
	w, h := min(a.x1, b.x1)-max(a.x0, b.x0), min(a.y1, b.y1)-max(a.y0, b.y0)
	if w <= 0 || h <= 0 || a.area <= 0 || b.area <= 0 {
		return 0
	}
	return w * h / (a.area + b.area - w*h)
}

func (n nonMaxSuppression) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	images, boxes, classes := in[0].Shape[0], in[0].Shape[1], in[1].Shape[1]
	return graph.Kernel{Info: "generic go", Call: func(_ graph.Runner, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
		most, overlap, least := int64(0), float32(0), float32(math.Inf(-1))
		if t := operand(in, 2); t != nil {
			most = t.I64()[0]
		}
		if t := operand(in, 3); t != nil {
			overlap = t.F32()[0]
		}
		if t := operand(in, 4); t != nil {
			least = t.F32()[0]
		}
		var picked []int64
		for i := range images {
			for c := range classes {
				scores := in[1].F32()[(i*classes+c)*boxes:][:boxes]
				var order []int
				for b, s := range scores {
					if s > least {
						order = append(order, b)
					}
				}
				slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
				var chosen []box
				for _, b := range order {
					if int64(len(chosen)) >= most {
						break
					}
					r := n.box(in[0].F32()[(i*boxes+b)*4:][:4])
					if !slices.ContainsFunc(chosen, func(o box) bool { return r.overlap(o) > overlap }) {
						chosen = append(chosen, r)
						picked = append(picked, int64(i), int64(c), int64(b))
					}
				}
			}
		}
		return []*tensor.Tensor{tensor.Of(picked, len(picked)/3, 3)}, nil
	}}, nil
}
