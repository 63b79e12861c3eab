package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/gemm"
)

// multiplier is c = a*b + res, a product of matrices that is part of an
// operator: a is [m k], b is [k n] or turned, c and res are [m n], row-major
// without gaps. res is not looked at unless it was asked for. A b that was a
// constant is packed and not looked at either. Which b it was changes no bits.
type multiplier[T float32 | float64] interface {
	stepper
	Run(step, chunk int, temp, scratch, a, b, res, c []T)
}

// multiplierOf returns the multiplier for a b that is known, or nil.
func multiplierOf[T float32 | float64](m, n, k int, b []T, transB, residual bool) multiplier[T] {
	e := gemm.NoClamp()
	e.Residual = residual
	var made any
	switch b := any(b).(type) {
	case []float32:
		if b == nil {
			made = gemm.NewDynamic(1, m, n, k, false, transB, 0, 0, e)
		} else {
			made = fixedMultiplier{gemm.New(m, n, k, b, transB, e)}
		}
	case []float64:
		p := plainMultiplier[float64]{m: m, n: n, k: k, b: matrix{n, 1}, residual: residual, fixed: b}
		if transB {
			p.b = matrix{1, k}
		}
		made = p
	}
	return made.(multiplier[T])
}

// fixedMultiplier is the multiplier for a constant b.
type fixedMultiplier struct{ *gemm.Kernel }

func (f fixedMultiplier) Run(step, chunk int, temp, scratch, a, _, res, c []float32) {
	f.Kernel.Run(step, chunk, temp, scratch, a, res, c)
}

// plainMultiplier is the multiplier in plain Go.
type plainMultiplier[T float32 | float64] struct {
	m, n, k  int
	b        matrix
	residual bool
	fixed    []T // nil if b comes with the run
}

func (plainMultiplier[T]) Info() string   { return "generic go" }
func (plainMultiplier[T]) Temp() int      { return 0 }
func (plainMultiplier[T]) Scratch() int   { return 0 }
func (plainMultiplier[T]) Steps() int     { return 1 }
func (plainMultiplier[T]) Chunks(int) int { return 1 }

func (p plainMultiplier[T]) Run(_, _ int, _, _, a, b, res, c []T) {
	if p.fixed != nil {
		b = p.fixed
	}
	for i := range p.m {
		for j := range p.n {
			sum := T(0)
			for q := range p.k {
				sum += T(a[i*p.k+q] * b[q*p.b.row+j*p.b.col])
			}
			if p.residual {
				sum += res[i*p.n+j]
			}
			c[i*p.n+j] = sum
		}
	}
}

// runAll runs steps from to to of a multiplier on one worker.
func runAll[T float32 | float64](p multiplier[T], from, to int, temp, scratch, a, b, res, c []T) {
	for s := from; s < to; s++ {
		for i := range p.Chunks(s) {
			p.Run(s, i, temp, scratch, a, b, res, c)
		}
	}
}

// constantOf returns the elements of a constant, nil of what comes with the run.
func constantOf[T float32 | float64](f graph.Fact) []T {
	if f.Const == nil {
		return nil
	}
	return tensor.View[T](f.Const)
}
