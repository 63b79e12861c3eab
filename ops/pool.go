package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// pooling is what MaxPool and AveragePool share.
type pooling struct {
	window window
	shape  []int // of the kernel
}

func poolingOf(a *Attrs) pooling {
	p := pooling{window: windowOf(a), shape: a.Ints("kernel_shape")}
	p.window.ceilMode = a.Int("ceil_mode", 0) != 0
	if len(p.shape) == 0 {
		a.Fail("attribute %q is missing", "kernel_shape")
	}
	return p
}

// describe returns the operator's String.
func (p *pooling) describe(name string) string {
	return fmt.Sprintf("%s[%s]", name, p.window.describe(p.shape))
}

// infer returns the type of y for the only input x.
func (p *pooling) infer(in []graph.Fact, types ...tensor.DType) (tensor.Type, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return tensor.Type{}, err
	}
	x := in[0]
	if err := checkType("x", x.DType, types...); err != nil {
		return tensor.Type{}, err
	}
	if len(x.Shape) < 3 {
		return tensor.Type{}, fmt.Errorf("x has shape %v, want at least 3 dimensions", x.Shape)
	}
	slides, err := p.slides(x.Shape)
	if err != nil {
		return tensor.Type{}, err
	}
	return tensor.Type{DType: x.DType, Shape: windowShape(x.Shape[0], x.Shape[1], slides)}, nil
}

// slides returns the window's movement over x.
func (p *pooling) slides(x tensor.Shape) ([]slide, error) {
	slides, err := p.window.slides(x[2:], p.shape)
	if err != nil {
		return nil, err
	}
	for i := range slides {
		if s := &slides[i]; max(s.before, s.behind) >= s.extent() {
			return nil, fmt.Errorf("spatial dimension %d: pads are %d and %d, want less than the %d places that the kernel spans",
				i, s.before, s.behind, s.extent())
		}
	}
	return slides, nil
}

// flops counts one operation for each place of the kernel.
func (p *pooling) flops(out []graph.Fact) int {
	return flops(append([]int{out[0].Shape.Elems()}, p.shape...)...)
}
