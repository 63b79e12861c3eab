package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

// stepper is what the kernels of ops/internal have in common: a run is steps
// one after the other, whose chunks may run at the same time.
type stepper interface {
	Info() string
	Temp() int    // float32s that a run shares
	Scratch() int // float32s that each worker needs for itself
	Steps() int
	Chunks(step int) int
}

// kernelOf makes a kernel of k; run does one chunk.
func kernelOf(k stepper, run func(step, chunk int, temp, scratch []float32, in, out []*tensor.Tensor)) graph.Kernel {
	g := graph.Kernel{Info: k.Info(), Temp: 4 * k.Temp(), Scratch: 4 * k.Scratch()}
	for step := range k.Steps() {
		g.Steps = append(g.Steps, graph.Step{N: k.Chunks(step), Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
			run(step, i, tensor.Cast[float32](x.Temp), tensor.Cast[float32](x.Scratch), in, out)
			return nil
		}})
	}
	return g
}

// floatsAt returns the memory of operand i if it is wanted, else nil.
func floatsAt(in []*tensor.Tensor, i int, wanted bool) []float32 {
	if !wanted {
		return nil
	}
	return floats(in[i])
}
