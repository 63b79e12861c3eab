package split

import (
	"fmt"
	slash "path"
	"slices"
	"strconv"
	"strings"
)

// LayerRule says that layers must, or must not, run on a host.
type LayerRule struct {
	Host string
	// Layers says which: a number or a range of numbers ("7", "3-9", "3-end", "all"; a negative number counts
	// from the end, -1 is the last layer), or else a layer's name or a pattern of names as in path.Match. A
	// pattern without any layer is an error.
	Layers string
	// In is true for must, false for must not.
	In bool
}

// nonlinear are the kinds of operators that cannot be undone: several inputs have the same output, or the
// inverse blows up noise. Addition, convolution, normalization and pooling by mean are linear.
var nonlinear = []string{
	"Relu", "LeakyRelu", "PRelu", "Clip", "Elu", "Selu", "Celu", "Gelu", "Mish", "ThresholdedRelu", "HardSigmoid",
	"HardSwish", "Sigmoid", "Softmax", "LogSoftmax", "Softplus", "Softsign", "Tanh", "Erf", "MaxPool", "GlobalMaxPool",
}

// Nonlinear says whether the layer's operator, or one fused into it, is one of the activations of ONNX (Relu,
// LeakyRelu, Clip, Sigmoid, Softmax, Tanh and the like) or a maximum pool: what is behind it is more than a
// linear map of the input. Op is a name, parameters in brackets, and "+" before what is fused.
func (l LayerProfile) Nonlinear() bool {
	for part := range strings.SplitSeq(l.Op, "+") {
		kind, _, _ := strings.Cut(part, "[")
		if slices.Contains(nonlinear, strings.TrimSpace(kind)) {
			return true
		}
	}
	return false
}

// described is the layers by name and operator: the source's profile or else that of the first host.
func (t *tables) described() []LayerProfile {
	if p := t.hosts[t.source].profile; p != nil {
		return p.Layers
	}
	return t.hosts[0].profile.Layers
}

// matches marks the layers that a rule is about.
func (r LayerRule) matches(layers []LayerProfile) ([]bool, error) {
	marks := make([]bool, len(layers))
	if n, err := strconv.Atoi(r.Layers); err == nil {
		if n < 0 {
			n += len(layers)
		}
		if n < 0 || n >= len(layers) {
			return nil, fmt.Errorf("layer %s, want %d to %d", r.Layers, -len(layers), len(layers)-1)
		}
		marks[n] = true
		return marks, nil
	}
	if s, err := parseSegment(r.Layers, len(layers)); err == nil {
		if s.From >= s.To || s.To > len(layers) {
			return nil, fmt.Errorf("layers %q, want FIRST-LAST within 0 to %d", r.Layers, len(layers)-1)
		}
		for i := s.From; i < s.To; i++ {
			marks[i] = true
		}
		return marks, nil
	}
	found := false
	for i, l := range layers {
		match, err := slash.Match(r.Layers, l.Name)
		if err != nil {
			return nil, fmt.Errorf("layers %.80q: %w", r.Layers, err)
		}
		marks[i] = match || l.Name == r.Layers && l.Name != ""
		found = found || marks[i]
	}
	if !found {
		return nil, fmt.Errorf("no layer's name matches %.80q", r.Layers)
	}
	return marks, nil
}

// forbidden counts for each of the Hosts the layers before each position that must not run there; nil for one
// without any.
func (t *tables) forbidden(q Query) ([][]int, error) {
	counts := make([][]int, len(t.Hosts))
	forbid := func(layer int, where func(host string) bool) {
		for h, host := range t.Hosts {
			if where(host) {
				if counts[h] == nil {
					counts[h] = make([]int, t.Layers+1)
				}
				counts[h][layer+1] = 1
			}
		}
	}
	for _, r := range q.Layers {
		match, err := r.matches(t.described())
		if err != nil {
			return nil, fmt.Errorf("rule for host %s: %w", r.Host, err)
		}
		for i, is := range match {
			if is {
				forbid(i, func(host string) bool { return (host == r.Host) != r.In })
			}
		}
	}
	for i := 0; i < t.Layers && t.nonlinear[i] < q.Nonlinear; i++ {
		forbid(i, func(host string) bool { return host != t.Source })
	}
	for _, count := range counts {
		for i := 1; i < len(count); i++ {
			count[i] += count[i-1]
		}
	}
	return counts, nil
}
