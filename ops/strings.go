package ops

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// moved is an operator that makes its results of elements of its inputs, as they
// are, or compares them, for tensors of strings: it is applied to numbers in
// their place, of which equal ones stand for equal strings and smaller ones for
// lesser ones. The first results have strings as elements.
type moved struct {
	op      graph.Op
	results int   // how many have strings
	inputs  []int // those that have, all if nil
}

func (m moved) String() string { return m.op.String() + " of strings" }

// Bodies makes the operator one that is computed in a run alone.
func (moved) Bodies() []*graph.Body { return nil }

func (moved) Infer([]graph.Fact) ([]graph.Fact, error) { return nil, late("the strings") }

func (m moved) Compile(_, _ []graph.Fact) (graph.Kernel, error) {
	return graph.Kernel{Info: "numbers of strings", Call: func(_ graph.Runner, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
		return m.run(in)
	}}, nil
}

func (m moved) run(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	values := make([]tensor.Value, len(in))
	all := []string{""} // what fills a place is the number 0
	for i, t := range in {
		if t == nil {
			continue
		}
		if want := m.inputs == nil || slices.Contains(m.inputs, i); want != (t.DType == tensor.Packed) {
			return nil, fmt.Errorf("input %d is %v, strings are wanted: %v", i, t.Type, want)
		}
		if t.DType != tensor.Packed {
			continue
		}
		v, err := unpack(fmt.Sprintf("input %d", i), t, tensor.Strings)
		if err != nil {
			return nil, err
		}
		values[i], all = v, append(all, v.Strings...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	number := make(map[string]int64, len(all))
	for i, s := range all {
		number[s] = int64(i)
	}
	numbers := slices.Clone(in)
	for i, t := range in {
		if t == nil || t.DType != tensor.Packed {
			continue
		}
		numbers[i] = tensor.New(tensor.Int64, values[i].Shape...)
		for j, s := range values[i].Strings {
			numbers[i].I64()[j] = number[s]
		}
	}
	outs, err := graph.Apply(m.op, tensor.MaxStrings*tensor.Int64.Size(), numbers...)
	if err != nil {
		return nil, err
	}
	for i, t := range outs[:min(m.results, len(outs))] {
		v := tensor.Value{Kind: tensor.Strings, Shape: t.Shape, Strings: make([]string, t.Shape.Elems())}
		for j, n := range t.I64() {
			v.Strings[j] = all[n]
		}
		if outs[i], err = v.Pack(); err != nil {
			return nil, err
		}
	}
	return outs, nil
}

// The operators of any element type also move strings.

var first = []int{0}

func (o reshape) Packed() graph.Op         { return moved{o, 1, first} }
func (o flatten) Packed() graph.Op         { return moved{o, 1, first} }
func (o squeeze) Packed() graph.Op         { return moved{o, 1, first} }
func (o unsqueeze) Packed() graph.Op       { return moved{o, 1, first} }
func (o transpose) Packed() graph.Op       { return moved{o, 1, first} }
func (o concat) Packed() graph.Op          { return moved{o, 1, nil} }
func (o split) Packed() graph.Op           { return moved{o, maxParts, first} }
func (o slice) Packed() graph.Op           { return moved{o, 1, first} }
func (o gather) Packed() graph.Op          { return moved{o, 1, first} }
func (o gatherElements) Packed() graph.Op  { return moved{o, 1, first} }
func (o gatherND) Packed() graph.Op        { return moved{o, 1, first} }
func (o expand) Packed() graph.Op          { return moved{o, 1, first} }
func (o tile) Packed() graph.Op            { return moved{o, 1, first} }
func (o where) Packed() graph.Op           { return moved{o, 1, []int{1, 2}} }
func (o compress) Packed() graph.Op        { return moved{o, 1, first} }
func (o pad) Packed() graph.Op             { return moved{o, 1, []int{0, 2}} }
func (o centerCropPad) Packed() graph.Op   { return moved{o, 1, first} }
func (o reverseSequence) Packed() graph.Op { return moved{o, 1, first} }
func (o depthToSpace) Packed() graph.Op    { return moved{o, 1, first} }
func (o spaceToDepth) Packed() graph.Op    { return moved{o, 1, first} }
func (o oneHot) Packed() graph.Op          { return moved{o, 1, []int{2}} }
func (o unique) Packed() graph.Op          { return moved{o, 1, first} }
func (o shapeOf) Packed() graph.Op         { return moved{o, 0, first} }
func (o sizeOf) Packed() graph.Op          { return moved{o, 0, first} }

func (o scatterElements) Packed() graph.Op {
	if o.reduction != "none" {
		return o
	}
	return moved{o, 1, []int{0, 2}}
}

func (o scatterND) Packed() graph.Op {
	if o.reduction != "none" {
		return o
	}
	return moved{o, 1, []int{0, 2}}
}

func (o pairing) Packed() graph.Op {
	if o.name != "Equal" {
		return o
	}
	return moved{o, 0, nil}
}

// stringsOf returns the strings of t and their shape.
func stringsOf(name string, t *tensor.Tensor) ([]string, tensor.Shape, error) {
	v, err := unpack(name, t, tensor.Strings)
	return v.Strings, v.Shape, err
}

// packStrings returns the one result that is a tensor of strings.
func packStrings(list []string, shape ...int) ([]*tensor.Tensor, error) {
	return pack(tensor.Value{Kind: tensor.Strings, Shape: shape, Strings: list})
}

func init() {
	register("StringNormalizer", 10, func(a *Attrs) graph.Op {
		n := normalizer{change: a.String("case_change_action", "NONE"), exact: a.Int("is_case_sensitive", 0) != 0, stop: a.Strings("stopwords")}
		a.String("locale", "") // letters change as Unicode says, whatever the place
		if !slices.Contains([]string{"NONE", "LOWER", "UPPER"}, n.change) {
			a.Fail("attribute %q is %q, want LOWER, UPPER or NONE", "case_change_action", n.change)
		}
		return &onValues{name: "StringNormalizer", need: 1, most: 1, run: n.run}
	})
	register("RegexFullMatch", 20, func(a *Attrs) graph.Op {
		whole, err := regexp.Compile(`\A(?:` + a.String("pattern", "") + `)\z`)
		if err != nil {
			a.Fail("attribute %q: %w", "pattern", err)
		}
		return &onValues{name: "RegexFullMatch", need: 1, most: 1, run: func(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
			list, shape, err := stringsOf("x", in[0])
			if err != nil {
				return nil, err
			}
			y := tensor.New(tensor.Bool, shape...)
			for i, s := range list {
				tensor.View[bool](y)[i] = whole.MatchString(s)
			}
			return []*tensor.Tensor{y}, nil
		}}
	})
	register("StringConcat", 20, func(*Attrs) graph.Op {
		return &onValues{name: "StringConcat", need: 2, most: 2, run: stringConcat}
	})
	register("StringSplit", 20, func(a *Attrs) graph.Op {
		s := splitter{by: a.String("delimiter", ""), most: -1}
		if a.Has("maxsplit") {
			s.most = a.Int("maxsplit", 0)
		}
		return &onValues{name: "StringSplit", need: 1, most: 1, run: s.run}
	})
}

// normalizer removes stop words from strings, and changes the case of letters.
//
//	x: [C] or [1, C] strings
//	y: those that stay, or if none does the empty string
//
// Source: ONNX StringNormalizer-10.
type normalizer struct {
	change string
	exact  bool // stop words count only in the same case
	stop   []string
}

func (n normalizer) run(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	list, shape, err := stringsOf("x", in[0])
	if err != nil {
		return nil, err
	}
	if len(shape) < 1 || len(shape) > 2 || len(shape) == 2 && shape[0] != 1 {
		return nil, fmt.Errorf("x has shape %v, want [C] or [1 C]", shape)
	}
	fold := strings.ToLower
	if n.exact {
		fold = func(s string) string { return s }
	}
	stop := map[string]bool{}
	for _, s := range n.stop {
		stop[fold(s)] = true
	}
	kept := []string{}
	for _, s := range list {
		if stop[fold(s)] {
			continue
		}
		switch n.change {
		case "LOWER":
			s = strings.ToLower(s)
		case "UPPER":
			s = strings.ToUpper(s)
		}
		kept = append(kept, s)
	}
	if len(kept) == 0 {
		kept = []string{""}
	}
	out := shape.Clone()
	out[len(out)-1] = len(kept)
	return packStrings(kept, out...)
}

// stringConcat is x followed by y, element by element with broadcasting.
//
// Source: ONNX StringConcat-20.
func stringConcat(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x, a, err := stringsOf("x", in[0])
	if err != nil {
		return nil, err
	}
	y, b, err := stringsOf("y", in[1])
	if err != nil {
		return nil, err
	}
	shape, err := broadcastShapes(a, b)
	if err != nil {
		return nil, err
	}
	if _, err := tensor.CheckType(tensor.Uint8, shape, tensor.MaxStrings); err != nil {
		return nil, err
	}
	w := newBroadcast(a, b, shape)
	out, size := make([]string, shape.Elems()), 0
	for i := range out {
		j, k := w.element(i)
		if size += len(x[j]) + len(y[k]); size > graph.DefaultLimit-len(out) {
			return nil, fmt.Errorf("the strings take more than %d bytes", graph.DefaultLimit)
		}
		out[i] = x[j] + y[k]
	}
	return packStrings(out, shape...)
}

// splitter cuts strings at a delimiter, or at runs of white space, at most so
// many times unless that is negative.
//
//	x: strings, any shape
//	y: [..., most parts of any of x] strings, filled up with empty ones
//	n: x's shape, i64, how many parts there are
//
// Source: ONNX StringSplit-20.
type splitter struct {
	by   string
	most int
}

func (s splitter) run(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	list, shape, err := stringsOf("x", in[0])
	if err != nil {
		return nil, err
	}
	parts, widest := make([][]string, len(list)), 0
	counts := tensor.New(tensor.Int64, shape...)
	for i, x := range list {
		parts[i] = s.cut(x)
		counts.I64()[i] = int64(len(parts[i]))
		widest = max(widest, len(parts[i]))
	}
	all := append(shape.Clone(), widest)
	if _, err := tensor.CheckType(tensor.Uint8, all, tensor.MaxStrings); err != nil {
		return nil, err
	}
	out := make([]string, all.Elems())
	for i, p := range parts {
		copy(out[i*widest:], p)
	}
	y, err := packStrings(out, all...)
	return append(y, counts), err
}

// cut returns the parts of x.
func (s splitter) cut(x string) []string {
	if s.by != "" {
		if s.most < 0 || s.most >= len(x) {
			return strings.Split(x, s.by)
		}
		return strings.SplitN(x, s.by, s.most+1)
	}
	if s.most < 0 {
		return strings.Fields(x)
	}
	var parts []string
	for x = strings.TrimLeftFunc(x, unicode.IsSpace); x != ""; {
		end := strings.IndexFunc(x, unicode.IsSpace)
		if end < 0 || len(parts) == s.most {
			end = len(x)
		}
		parts, x = append(parts, x[:end]), strings.TrimLeftFunc(x[end:], unicode.IsSpace)
	}
	return parts
}
