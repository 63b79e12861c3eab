package ops

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// slowRNN is a recurrent operator as the ONNX text defines it, one value at a
// time in float64.
type slowRNN struct {
	name                         string
	dirs, steps, batch, in, size int
	reverse                      bool // of the first direction
	batchFirst                   bool
	clip                         float64
	flag                         bool // input_forget or linear_before_reset
	f                            []func(x float64) float64
	x, w, r, b, h0, c0, p        []float64 // nil where omitted
	lens                         []int32
}

func (s *slowRNN) gates() int { return map[string]int{"LSTM": 4, "GRU": 3, "RNN": 1}[s.name] }

func (s *slowRNN) stateAt(d, b, j int) int {
	if s.batchFirst {
		return (b*s.dirs+d)*s.size + j
	}
	return (d*s.batch+b)*s.size + j
}

func (s *slowRNN) run() (y, yh, yc []float64) {
	n, gates := s.size, s.gates()
	y = make([]float64, s.steps*s.dirs*s.batch*n)
	yh, yc = make([]float64, s.dirs*s.batch*n), make([]float64, s.dirs*s.batch*n)
	f := len(s.f) / s.dirs
	clip := func(v float64) float64 {
		if s.clip > 0 {
			return math.Max(-s.clip, math.Min(s.clip, v))
		}
		return v
	}
	for d := range s.dirs {
		fn := s.f[d*f:]
		for b := range s.batch {
			h, c := make([]float64, n), make([]float64, n)
			for j := range n {
				if s.h0 != nil {
					h[j] = s.h0[s.stateAt(d, b, j)]
				}
				if s.c0 != nil {
					c[j] = s.c0[s.stateAt(d, b, j)]
				}
			}
			length := s.steps
			if s.lens != nil {
				length = int(s.lens[b])
			}
			for step := range length {
				t := step
				if d == 1 || s.reverse {
					t = length - 1 - step
				}
				// wx is x*W with its bias, rh is v*R with its.
				wx := func(gate, j int) float64 {
					at := (t*s.batch + b) * s.in
					if s.batchFirst {
						at = (b*s.steps + t) * s.in
					}
					sum, row := 0.0, (d*gates+gate)*n+j
					for i := range s.in {
						sum += s.x[at+i] * s.w[row*s.in+i]
					}
					if s.b != nil {
						sum += s.b[d*2*gates*n+gate*n+j]
					}
					return sum
				}
				rh := func(gate, j int, v []float64) float64 {
					sum, row := 0.0, (d*gates+gate)*n+j
					for i := range n {
						sum += v[i] * s.r[row*n+i]
					}
					if s.b != nil {
						sum += s.b[d*2*gates*n+gates*n+gate*n+j]
					}
					return sum
				}
				peep := func(which, j int, c []float64) float64 {
					if s.p == nil {
						return 0
					}
					return s.p[(d*3+which)*n+j] * c[j]
				}
				h2, c2 := make([]float64, n), make([]float64, n)
				switch s.name {
				case "RNN":
					for j := range n {
						h2[j] = fn[0](clip(wx(0, j) + rh(0, j, h)))
					}
				case "GRU":
					z, r, rh1 := make([]float64, n), make([]float64, n), make([]float64, n)
					for j := range n {
						z[j] = fn[0](clip(wx(0, j) + rh(0, j, h)))
						r[j] = fn[0](clip(wx(1, j) + rh(1, j, h)))
						rh1[j] = r[j] * h[j]
					}
					for j := range n {
						v := wx(2, j) + rh(2, j, rh1)
						if s.flag {
							v = wx(2, j) + r[j]*rh(2, j, h)
						}
						h2[j] = (1-z[j])*fn[1](clip(v)) + z[j]*h[j]
					}
				case "LSTM":
					for j := range n {
						i := fn[0](clip(wx(0, j) + rh(0, j, h) + peep(0, j, c)))
						fg := fn[0](clip(wx(2, j) + rh(2, j, h) + peep(2, j, c)))
						if s.flag {
							fg = 1 - i
						}
						c2[j] = fg*c[j] + i*fn[1](clip(wx(3, j)+rh(3, j, h)))
						h2[j] = fn[0](clip(wx(1, j)+rh(1, j, h)+peep(1, j, c2))) * fn[2](c2[j])
					}
				}
				h, c = h2, c2
				for j := range n {
					at := ((t*s.dirs+d)*s.batch+b)*n + j
					if s.batchFirst {
						at = ((b*s.steps+t)*s.dirs+d)*n + j
					}
					y[at] = h[j]
				}
			}
			for j := range n {
				yh[s.stateAt(d, b, j)], yc[s.stateAt(d, b, j)] = h[j], c[j]
			}
		}
	}
	return y, yh, yc
}

// gateFunctions gives the functions by their definitions; 0.25 and 0.75 are
// alpha and beta where alpha is given.
var gateFunctions = []struct {
	name  string
	given bool
	f     func(x float64) float64
}{
	{"Sigmoid", false, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }},
	{"Tanh", false, math.Tanh},
	{"Relu", false, func(x float64) float64 { return math.Max(0, x) }},
	{"Softsign", false, func(x float64) float64 { return x / (1 + math.Abs(x)) }},
	{"Softplus", false, func(x float64) float64 { return math.Log(1 + math.Exp(x)) }},
	{"Affine", true, func(x float64) float64 { return 0.25*x + 0.75 }},
	{"ScaledTanh", true, func(x float64) float64 { return 0.25 * math.Tanh(0.75*x) }},
	{"HardSigmoid", true, func(x float64) float64 { return math.Max(0, math.Min(1, 0.25*x+0.75)) }},
	{"HardSigmoid", false, func(x float64) float64 { return math.Max(0, math.Min(1, float64(float32(0.2))*x+0.5)) }},
	{"LeakyRelu", false, func(x float64) float64 {
		if x < 0 {
			return float64(float32(0.01)) * x
		}
		return x
	}},
	{"Elu", false, func(x float64) float64 {
		if x < 0 {
			return math.Exp(x) - 1
		}
		return x
	}},
}

// rnnCase makes a random case: the operator's attributes, its inputs and the
// reference.
func rnnCase(r *rand.Rand, name string) (attrs []any, in []*tensor.Tensor, s *slowRNN) {
	s = &slowRNN{name: name, dirs: 1, steps: 1 + r.IntN(6), batch: 1 + r.IntN(5), in: 1 + r.IntN(20), size: 1 + r.IntN(40)}
	yes := func() bool { return r.IntN(2) == 0 }
	attrs = []any{"hidden_size", s.size}
	switch r.IntN(3) {
	case 0:
		attrs, s.dirs = append(attrs, "direction", "bidirectional"), 2
	case 1:
		attrs, s.reverse = append(attrs, "direction", "reverse"), true
	}
	if s.batchFirst = yes(); s.batchFirst {
		attrs = append(attrs, "layout", 1)
	}
	if yes() {
		s.clip = 0.5
		attrs = append(attrs, "clip", float32(s.clip))
	}
	if s.flag = yes() && name != "RNN"; s.flag {
		attrs = append(attrs, map[string]string{"LSTM": "input_forget", "GRU": "linear_before_reset"}[name], 1)
	}
	functions := map[string][]int{"LSTM": {0, 1, 1}, "GRU": {0, 1}, "RNN": {1}}[name]
	var names []string
	var alphas, betas []float32
	random := yes()
	for range s.dirs {
		for _, f := range functions {
			if random {
				f = r.IntN(len(gateFunctions))
			}
			// Values are consumed by the functions that have them, so a default needs to be the last.
			c := gateFunctions[f]
			for random && !c.given && activations[strings.ToLower(c.name)].hasAlpha {
				c = gateFunctions[r.IntN(len(gateFunctions))]
			}
			names, s.f = append(names, c.name), append(s.f, c.f)
			if c.given {
				alphas, betas = append(alphas, 0.25), append(betas, 0.75)
			}
		}
	}
	if random {
		attrs = append(attrs, "activations", names)
		if alphas != nil {
			attrs = append(attrs, "activation_alpha", alphas, "activation_beta", betas)
		}
	}
	wide := s.gates() * s.size
	shape, state := []int{s.steps, s.batch, s.in}, []int{s.dirs, s.batch, s.size}
	if s.batchFirst {
		shape[0], shape[1], state[0], state[1] = s.batch, s.steps, s.batch, s.dirs
	}
	in = make([]*tensor.Tensor, 8)
	add := func(i int, to *[]float64, shape ...int) {
		in[i] = reals(r, shape...)
		for j := range in[i].F32() {
			*to = append(*to, tensortest.At(in[i], j))
		}
	}
	add(0, &s.x, shape...)
	add(1, &s.w, s.dirs, wide, s.in)
	add(2, &s.r, s.dirs, wide, s.size)
	if yes() {
		add(3, &s.b, s.dirs, 2*wide)
	}
	if yes() {
		for range s.batch {
			s.lens = append(s.lens, int32(r.IntN(s.steps+1)))
		}
		in[4] = tensor.Of(s.lens, s.batch)
	}
	if yes() {
		add(5, &s.h0, state...)
	}
	if name == "LSTM" && yes() {
		add(6, &s.c0, state...)
	}
	if name == "LSTM" && yes() {
		add(7, &s.p, s.dirs, 3*s.size)
	}
	if name != "LSTM" {
		in = in[:6]
	}
	return attrs, in, s
}

func TestRecurrentOperatorsAreTheirDefinition(t *testing.T) {
	atEachLevel(t, "TestRecurrentOperatorsAreTheirDefinition", func(t *testing.T) {
		for seed := range 90 {
			r := source(uint64(seed))
			name := []string{"LSTM", "GRU", "RNN"}[seed%3]
			attrs, in, s := rnnCase(r, name)
			op := build(t, name, 14+8*r.IntN(2), attrs...)
			y, yh, yc := s.run()
			want := [][]float64{y, yh, yc}
			given := func(fix bool, change func(*tensor.Tensor) *tensor.Tensor) []any {
				list := make([]any, len(in))
				for i, x := range in {
					switch {
					case x == nil:
					case fix && i >= rnnW && i <= rnnBias:
						list[i] = known{change(x)}
					case i == rnnLengths:
						list[i] = x
					default:
						list[i] = change(x)
					}
				}
				return list
			}
			same := func(x *tensor.Tensor) *tensor.Tensor { return x }
			live, packed := apply(t, op, given(false, same)...), apply(t, op, given(true, same)...)
			double, fixed := apply(t, op, given(false, wide)...), apply(t, op, given(true, wide)...)
			for i := range live {
				what := fmt.Sprintf("case %d, %s %v, output %d", seed, op, attrs, i)
				if !packed[i].Identical(live[i]) || !fixed[i].Identical(double[i]) {
					t.Errorf("%s: constant weights change bits", what)
				}
				if err := tensortest.Diff(wide(live[i]), tensor.Of(want[i], live[i].Shape...), 1e-4, 1e-5); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				if err := tensortest.Diff(double[i], tensor.Of(want[i], live[i].Shape...), 1e-6, 1e-8); err != nil {
					t.Errorf("%s in float64: %v", what, err)
				}
			}
		}
	})
}

func TestRecurrentOperatorsRefuseWhatDoesNotFit(t *testing.T) {
	lstm := build(t, "LSTM", 14, "hidden_size", 5)
	x, w, r := float(2, 3, 4), float(1, 20, 4), float(1, 20, 5)
	checkShapes(t, []shapeCase{
		{"fits", lstm, []any{x, w, r, float(1, 40), nil, float(1, 3, 5), float(1, 3, 5), float(1, 15)}, tensor.Shape{2, 1, 3, 5}},
		{"layout", build(t, "LSTM", 14, "layout", 1), []any{x, w, r, nil, nil, float(2, 1, 5)}, tensor.Shape{2, 3, 1, 5}},
		{"two directions", build(t, "GRU", 14, "direction", "bidirectional"), []any{x, float(2, 15, 4), float(2, 15, 5)}, tensor.Shape{2, 2, 3, 5}},
		{"directions", build(t, "RNN", 14, "direction", "bidirectional"), []any{x, float(1, 5, 4), float(1, 5, 5)}, nil},
		{"no r", lstm, []any{x, w}, nil},
		{"rank", lstm, []any{float(2, 3), w, r}, nil},
		{"gates", lstm, []any{x, float(1, 15, 4), r}, nil},
		{"hidden", build(t, "LSTM", 14, "hidden_size", 4), []any{x, w, r}, nil},
		{"inputs", lstm, []any{float(2, 3, 5), w, r}, nil},
		{"bias", lstm, []any{x, w, r, float(1, 20)}, nil},
		{"lengths", lstm, []any{x, w, r, nil, tensor.New(tensor.Int32, 2)}, nil},
		{"type of lengths", lstm, []any{x, w, r, nil, tensor.New(tensor.Int64, 3)}, nil},
		{"state", lstm, []any{x, w, r, nil, nil, float(1, 2, 5)}, nil},
		{"peepholes", lstm, []any{x, w, r, nil, nil, nil, nil, float(1, 20)}, nil},
		{"types", lstm, []any{x, w, tensor.New(tensor.Float64, 1, 20, 5)}, nil},
		{"too many", build(t, "GRU", 14), []any{x, float(1, 15, 4), float(1, 15, 5), nil, nil, nil, float(1, 3, 5)}, nil},
	})
	for _, attrs := range [][]any{
		{"direction", "up"}, {"activations", []string{"Tanh"}}, {"activations", []string{"Tanh", "Tanh", "Sine"}}, {"clip", float32(-1)},
	} {
		if _, err := New("", "LSTM", 14, attrList(attrs...)); err == nil {
			t.Errorf("%v: no error", attrs)
		}
	}
	if _, err := New("", "LSTM", 14, attrList("activations", []string{"Sine", "Tanh", "Tanh"})); !errors.Is(err, ErrUnsupported) {
		t.Errorf("an unknown function: got %v, want ErrUnsupported", err)
	}
}
