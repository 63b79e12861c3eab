package ops

import (
	"fmt"
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	registry[key{"ai.onnx.preview", "FlexAttention"}] = []definition{{1, func(a *Attrs) graph.Op {
		f := flexAttention{scaled: a.Has("scale"), scale: a.Float("scale", 1)}
		if a.Has("softmax_precision") {
			f.precision = elementType(a, "softmax_precision")
		}
		for i, name := range []string{"score_mod", "prob_mod"} {
			if a.Has(name) {
				f.mods[i] = a.Body(name)
			}
		}
		return f
	}}}
}

// flexAttention is scaled dot-product attention,
//
//	y = prob_mod(softmax(score_mod(scale*q*k^T))) * v
//
// for each head, with two graphs of one input and one result, either of which may
// be left out. Heads of k and v are shared by as many neighbouring heads of q as
// there are more of these.
//
//	q: [B Hq L D] floating point
//	k: [B H S D]
//	v: [B H S E]
//	y: [B Hq L E]
//
// The graphs get and give [B Hq L S] of the type softmax_precision; that is float32
// unless q is float64.
//
// Source: ai.onnx.preview FlexAttention-1.
type flexAttention struct {
	scaled    bool // scale is given
	scale     float32
	precision tensor.DType // Undefined for the usual one
	mods      [2]*graph.Body
}

func (flexAttention) String() string { return "FlexAttention" }

func (f flexAttention) Bodies() []*graph.Body {
	return slices.DeleteFunc(slices.Clone(f.mods[:]), func(b *graph.Body) bool { return b == nil })
}

// flexPlan is flexAttention for inputs of certain types: the graphs to run one after
// the other, of which the first one reads q and k, the last one also v, and the ones
// between them what they capture.
type flexPlan struct {
	parts []part
	from  []int // the first input that each captures
	out   graph.Fact
}

func (f flexAttention) plan(in []graph.Fact) (flexPlan, error) {
	own, captured, err := checkBodyInputs(in, f.Bodies()...)
	if err != nil {
		return flexPlan{}, err
	}
	if err := checkInputs(own, 3, 3); err != nil {
		return flexPlan{}, err
	}
	precision := f.precision
	if precision == tensor.Undefined {
		if precision = tensor.Float32; own[0].DType == tensor.Float64 {
			precision = tensor.Float64
		}
	}
	var p flexPlan
	at, last := len(own), graph.Fact{}
	step := func(op graph.Op, in ...graph.Fact) error {
		g := &graph.Graph{Name: op.String()}
		var values []*graph.Value
		for i, x := range in {
			values = append(values, g.Input(fmt.Sprint(i), x.Type))
		}
		out, err := g.Add(op.String(), op, nil, values, "out")
		if err != nil {
			return err
		}
		g.Outputs, last = out, out[0].Fact
		p.parts, p.from = append(p.parts, openBody(&graph.Body{Graph: g})), append(p.from, at)
		return nil
	}
	modify := func(b *graph.Body) error {
		if b == nil {
			return nil
		}
		mod, err := buildBody(b, append([]graph.Fact{{Type: last.Type}}, captured[:b.Captured()]...))
		if err != nil {
			return err
		}
		out, err := mod.results()
		if err != nil {
			return err
		}
		if b.Given != 1 || len(out) != 1 || !out[0].Type.Equal(last.Type) {
			return fmt.Errorf("graph %q has %d inputs and gives %v, want 1 and %v", b.Graph.Name, b.Given, out, last.Type)
		}
		p.parts, p.from = append(p.parts, mod), append(p.from, at)
		captured, at = captured[b.Captured():], at+b.Captured()
		return nil
	}
	if err := step(&composition{"scores", 2, 2, func(c *composer) []term { return f.scores(c, precision) }}, own[0], own[1]); err != nil {
		return p, err
	}
	if err := modify(f.mods[0]); err != nil {
		return p, err
	}
	if err := step(&composition{"probabilities", 1, 1, func(c *composer) []term {
		return []term{c.op("Softmax", []any{"axis", -1}, c.input(0))}
	}}, last); err != nil {
		return p, err
	}
	if err := modify(f.mods[1]); err != nil {
		return p, err
	}
	err = step(&composition{"weighted sums", 2, 2, func(c *composer) []term { return weightedSums(c, own[0].DType) }}, last, own[2])
	p.out = graph.Fact{Type: last.Type}
	return p, err
}

// scores are those of q and k, which have four dimensions.
func (f flexAttention) scores(c *composer, precision tensor.DType) []term {
	q, k := c.input(0), c.input(1)
	if !c.rank("q", q, 4) || !c.rank("k", k, 4) {
		return nil
	}
	s := c.shape(q)
	scale := float64(f.scale)
	if !f.scaled {
		scale = 1 / math.Sqrt(float64(s[3]))
	}
	q, k = c.as(precision, q), c.as(precision, k)
	q = c.op("Mul", nil, q, c.scalar(q, scale))
	return []term{c.overHeads(q, c.transpose(k, 0, 1, 3, 2))}
}

func weightedSums(c *composer, to tensor.DType) []term {
	weights, v := c.input(0), c.input(1)
	if !c.rank("v", v, 4) {
		return nil
	}
	return []term{c.as(to, c.overHeads(weights, c.as(c.fact(weights).DType, v)))}
}

// overHeads is the product of x [B Hq M K] and y [B H K N] with y's heads shared.
func (c *composer) overHeads(x, y term) term {
	s, t := c.shape(x), c.shape(y)
	if c.err != nil {
		return 0
	}
	if s[0] != t[0] || t[1] == 0 || s[1]%t[1] != 0 || s[3] != t[2] {
		return c.fail("heads have shapes %v and %v, which do not fit", s, t)
	}
	x = c.op("MatMul", nil, c.reshape(x, s[0], t[1], s[1]/t[1]*s[2], s[3]), y)
	return c.reshape(x, s[0], s[1], s[2], t[3])
}

func (f flexAttention) Infer(in []graph.Fact) ([]graph.Fact, error) {
	p, err := f.plan(in)
	if err != nil {
		return nil, err
	}
	return []graph.Fact{p.out}, nil
}

func (f flexAttention) Compile(in, _ []graph.Fact) (graph.Kernel, error) {
	p, err := f.plan(in)
	k := graph.Kernel{Info: "attention", Call: func(run graph.Runner, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
		args := in[:2]
		for i, part := range p.parts {
			if i > 0 && i == len(p.parts)-1 {
				args = append(args, in[2])
			} else if i > 0 {
				args = append(args, in[p.from[i]:]...)
			}
			out, err := run(i, part.inputs(args))
			if err != nil {
				return nil, err
			}
			args = []*tensor.Tensor{out[0].Clone()}
		}
		return args, nil
	}}
	for _, part := range p.parts {
		k.Bodies = append(k.Bodies, part.graph)
	}
	return k, err
}
