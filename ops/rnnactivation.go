package ops

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"scission/ops/internal/vec"
)

// activation is a function that a recurrent operator applies to its gates.
type activation struct {
	name        string // of activations, in lower case
	alpha, beta float32
}

// activations are the functions by their names, with the defaults of alpha and
// beta, which are those of the ONNX operators of these names.
var activations = map[string]struct {
	alpha, beta       float32
	hasAlpha, hasBeta bool
	of                func(x, alpha, beta float64) float64
}{
	"sigmoid": {of: func(x, _, _ float64) float64 { return 1 / (1 + math.Exp(-x)) }},
	"tanh":    {of: func(x, _, _ float64) float64 { return math.Tanh(x) }},
	"relu":    {of: func(x, _, _ float64) float64 { return max(x, 0) }},
	"affine": {alpha: 1, hasAlpha: true, hasBeta: true, of: func(x, alpha, beta float64) float64 {
		return alpha*x + beta
	}},
	"leakyrelu": {alpha: 0.01, hasAlpha: true, of: func(x, alpha, _ float64) float64 {
		if x < 0 {
			return alpha * x
		}
		return x
	}},
	"thresholdedrelu": {alpha: 1, hasAlpha: true, of: func(x, alpha, _ float64) float64 {
		if x > alpha || math.IsNaN(x) {
			return x
		}
		return 0
	}},
	"scaledtanh": {alpha: 1, beta: 1, hasAlpha: true, hasBeta: true, of: func(x, alpha, beta float64) float64 {
		return alpha * math.Tanh(beta*x)
	}},
	"hardsigmoid": {alpha: 0.2, beta: 0.5, hasAlpha: true, hasBeta: true, of: func(x, alpha, beta float64) float64 {
		return max(0, min(1, alpha*x+beta))
	}},
	"elu": {alpha: 1, hasAlpha: true, of: func(x, alpha, _ float64) float64 {
		if x < 0 {
			return alpha * math.Expm1(x)
		}
		return x
	}},
	"softsign": {of: func(x, _, _ float64) float64 { return x / (1 + math.Abs(x)) }},
	"softplus": {of: func(x, _, _ float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }},
}

// activationsOf reads the attribute activations, which lists as many functions
// as the defaults, and the values of alpha and beta for those that have them,
// in the order of the functions.
func activationsOf(a *Attrs, defaults []string) []activation {
	names := attr(a, "activations", slices.Clone(defaults))
	alphas, betas := a.Floats("activation_alpha"), a.Floats("activation_beta")
	if len(names) != len(defaults) {
		a.Fail("activations are %q, want %d", names, len(defaults))
		return nil
	}
	next := func(list *[]float32, has bool, missing float32) float32 {
		if !has || len(*list) == 0 {
			return missing
		}
		v := (*list)[0]
		*list = (*list)[1:]
		return v
	}
	var functions []activation
	for _, name := range names {
		f, ok := activations[strings.ToLower(name)]
		if !ok {
			a.Fail("%w activation %q", ErrUnsupported, name)
			return nil
		}
		functions = append(functions, activation{
			strings.ToLower(name), next(&alphas, f.hasAlpha, f.alpha), next(&betas, f.hasBeta, f.beta),
		})
	}
	return functions
}

func (f activation) String() string { return fmt.Sprintf("%s(%g, %g)", f.name, f.alpha, f.beta) }

// activate sets dst, which may be x, to f of x.
func activate[T float32 | float64](f activation, dst, x []T) {
	if x, ok := any(x).([]float32); ok {
		if dst, ok := any(dst).([]float32); ok && f.vector(dst, x) {
			return
		}
	}
	of := activations[f.name].of
	for i, v := range x {
		dst[i] = T(of(float64(v), float64(f.alpha), float64(f.beta)))
	}
}

// vector sets dst to f of x and reports whether there is a fast way to.
func (f activation) vector(dst, x []float32) bool {
	switch f.name {
	case "sigmoid":
		vec.Sigmoid(dst, x)
	case "tanh":
		vec.Tanh(dst, x)
	case "relu":
		vec.Relu(dst, x)
	default:
		return false
	}
	return true
}

// addTo sets dst to a + b.
func addTo[T float32 | float64](dst, a, b []T) {
	if dst, ok := any(dst).([]float32); ok {
		vec.Add(dst, any(a).([]float32), any(b).([]float32))
		return
	}
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

// mulTo sets dst to a * b.
func mulTo[T float32 | float64](dst, a, b []T) {
	if dst, ok := any(dst).([]float32); ok {
		vec.Mul(dst, any(a).([]float32), any(b).([]float32))
		return
	}
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

// subFromOne sets dst to 1 - x.
func subFromOne[T float32 | float64](dst, x []T) {
	if dst, ok := any(dst).([]float32); ok {
		vec.ScalarSub(dst, 1, any(x).([]float32))
		return
	}
	for i := range dst {
		dst[i] = 1 - x[i]
	}
}

// clampTo bounds x.
func clampTo[T float32 | float64](x []T, lo, hi T) {
	if x, ok := any(x).([]float32); ok {
		vec.Clamp(x, x, float32(lo), float32(hi))
		return
	}
	for i, v := range x {
		x[i] = max(lo, min(hi, v))
	}
}
