package ops

import "scission/engine/graph"

// FusedMatMul and TransposeMatMul of ONNX Runtime are y = alpha*a*b, with the
// last two dimensions of a and b exchanged by transA and transB, or with
// transBatchA and transBatchB first the batch dimensions brought behind the
// row.
func init() {
	for _, name := range []string{"FusedMatMul", "TransposeMatMul"} {
		registerFused(name, 2, 2, func(a *Attrs) func(c *composer) []term {
			alpha := a.Float("alpha", 1)
			trans := [2]bool{a.Int("transA", 0) != 0, a.Int("transB", 0) != 0}
			batch := [2]bool{a.Int("transBatchA", 0) != 0, a.Int("transBatchB", 0) != 0}
			return func(c *composer) []term {
				var operands [2]term
				for i := range operands {
					x := c.input(i)
					if rank := len(c.shape(x)); rank >= 2 {
						perm := fusedOrder(rank, trans[i], batch[i])
						x = c.transpose(x, perm...)
					}
					operands[i] = x
				}
				y := c.op("MatMul", nil, operands[0], operands[1])
				if alpha != 1 {
					y = c.op("Mul", nil, y, c.scalar(y, float64(alpha)))
				}
				return []term{y}
			}
		})
	}
	registerContrib("FusedGemm", func(a *Attrs) graph.Op {
		product := matrixProduct{
			alpha: a.Float("alpha", 1), beta: a.Float("beta", 1),
			transA: a.Int("transA", 0) != 0, transB: a.Int("transB", 0) != 0,
		}
		f := fusedActivationOf(a, "activation_alpha", "activation_beta", "activation_gamma")
		return &composition{"FusedGemm", 2, 3, func(c *composer) []term {
			return []term{f.apply(c, c.apply(product, c.input(0), c.input(1), c.input(2)))}
		}}
	})
}

// fusedOrder is the order of an operand's dimensions: the first one goes before
// the last with batch, and the last two are exchanged with trans.
func fusedOrder(rank int, trans, batch bool) []int {
	var perm []int
	for i := range rank {
		perm = append(perm, i)
	}
	if batch {
		perm = append(perm[1:rank-1:rank-1], 0, rank-1)
	}
	if trans {
		perm[rank-2], perm[rank-1] = perm[rank-1], perm[rank-2]
	}
	return perm
}

// fusedActivation is the activation that an operator of ONNX Runtime has taken in.
type fusedActivation struct {
	name  string
	attrs []any
}

// fusedActivationOf reads the attribute activation, and its parameters from
// attributes of the given names, or else from the list activation_params.
func fusedActivationOf(a *Attrs, params ...string) fusedActivation {
	f := fusedActivation{name: a.String("activation", "")}
	var values []float32
	for _, name := range params {
		if a.Has(name) {
			values = append(values, a.Float(name, 0))
		}
	}
	if len(params) == 0 {
		values = a.Floats("activation_params")
	}
	names := map[string][]string{"LeakyRelu": {"alpha"}, "Elu": {"alpha"}, "ThresholdedRelu": {"alpha"}, "HardSigmoid": {"alpha", "beta"}, "Clip": {"min", "max"}}[f.name]
	switch f.name {
	case "", "Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "HardSwish", "LeakyRelu", "Elu", "ThresholdedRelu", "HardSigmoid", "Clip":
	default:
		a.Fail("%w activation %q", ErrUnsupported, f.name)
	}
	for i, v := range values[:min(len(values), len(names))] {
		f.attrs = append(f.attrs, names[i], v)
	}
	return f
}

// apply returns the activation of x.
func (f fusedActivation) apply(c *composer, x term) term {
	switch f.name {
	case "":
		return x
	case "Clip":
		bounds := []term{x, 0, 0}
		for i := 0; i < len(f.attrs); i += 2 {
			bounds[1+i/2] = c.scalar(x, float64(f.attrs[i+1].(float32)))
		}
		return c.op("Clip", nil, bounds...)
	}
	return c.op(f.name, f.attrs, x)
}
