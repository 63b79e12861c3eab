package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
)

// GlobalLpPool is the Lp norm of each channel; see reduce.
//
// Source: ONNX GlobalLpPool-2, -22.
func init() {
	register("GlobalLpPool", 2, func(a *Attrs) graph.Op {
		p := normOf(a)
		return globalReduction(fmt.Sprintf("GlobalLpPool[%d]", int(p)), allInFloat64(0, p.add, p.root))
	})
}

// normOf returns the attribute p.
func normOf(a *Attrs) lpNorm {
	p := a.Int("p", 2)
	if p <= 0 {
		a.Fail("attribute %q is %d, want a positive number", "p", p)
	}
	return lpNorm(p)
}

// lpNorm is the p of the norm (sum |x|^p)^(1/p).
type lpNorm float64

// add takes x into the sum.
func (p lpNorm) add(sum, x float64) float64 {
	switch p {
	case 1:
		return sum + math.Abs(x)
	case 2:
		return addSquare(sum, x)
	}
	return sum + math.Pow(math.Abs(x), float64(p))
}

// root is the norm that a sum makes.
func (p lpNorm) root(sum float64) float64 {
	switch p {
	case 1:
		return sum
	case 2:
		return math.Sqrt(sum)
	}
	return math.Pow(sum, 1/float64(p))
}
