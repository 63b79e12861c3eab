package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// registerML adds an operator of ONNX's domain for classical machine learning.
func registerML(name string, since int, make func(a *Attrs) graph.Op) {
	k := key{"ai.onnx.ml", name}
	registry[k] = append(registry[k], definition{since, make})
}

func init() {
	registerML("ArrayFeatureExtractor", 1, func(*Attrs) graph.Op {
		return &composition{"ArrayFeatureExtractor", 2, 2, func(c *composer) []term {
			x, list := c.input(0), c.input(1)
			if rank := len(c.shape(x)); rank == 1 {
				x = c.reshape(x, 1, c.shape(x)[0])
			}
			flat := c.reshape(list, c.shape(list).Elems())
			return []term{c.op("Gather", []any{"axis", -1}, x, flat)}
		}}
	})
	registerML("Binarizer", 1, func(a *Attrs) graph.Op { return binarizer{a.Float("threshold", 0)} })
	registerML("LabelEncoder", 2, makeLabelEncoder)
	registerML("TreeEnsemble", 5, makeTrees)
}

// binarizer is one where x is greater than a threshold, else zero.
//
//	x, y: f32, f64, i64 or i32, any shape
//
// Source: ai.onnx.ml Binarizer-1.
type binarizer struct{ threshold float32 }

func (binarizer) String() string { return "Binarizer" }

func (binarizer) Infer(in []graph.Fact) ([]graph.Fact, error) {
	return inferSame(in, tensor.Float32, tensor.Float64, tensor.Int64, tensor.Int32)
}

func (b binarizer) Compile(_, out []graph.Fact) (graph.Kernel, error) {
	load, store := floatAt(out[0].DType), floatTo(out[0].DType)
	return perElement("generic go", out[0], 2*scalarTime, func(in, out []*tensor.Tensor, lo, hi int) error {
		for i := lo; i < hi; i++ {
			v := 0.0
			if load(in[0].Raw, i) > float64(b.threshold) {
				v = 1
			}
			store(out[0].Raw, i, v)
		}
		return nil
	}), nil
}

// listOfLabels reads keys or values of a LabelEncoder, which are in one of four
// attributes.
func listOfLabels(a *Attrs, prefix string) *tensor.Tensor {
	var found []*tensor.Tensor
	if a.Has(prefix + "_strings") {
		v := a.Strings(prefix + "_strings")
		found = append(found, a.strings(v, len(v)))
	}
	if a.Has(prefix + "_int64s") {
		v := attr(a, prefix+"_int64s", []int64(nil))
		found = append(found, tensor.Of(v, len(v)))
	}
	if a.Has(prefix + "_floats") {
		v := a.Floats(prefix + "_floats")
		found = append(found, tensor.Of(v, len(v)))
	}
	if a.Version() >= 4 && a.Has(prefix+"_tensor") {
		found = append(found, a.Tensor(prefix+"_tensor"))
	}
	if len(found) != 1 || found[0] == nil {
		a.Fail("got %d attributes with %s, want 1", len(found), prefix)
		return tensor.New(tensor.Int64, 0)
	}
	return found[0]
}

// makeLabelEncoder makes the operator that replaces each of its keys by the value
// in the same place of a list, and anything else by a default.
//
//	x: the type of the keys: numbers or strings; any shape
//	y: that of the values; x's shape
//
// Of a key that is there twice the last one counts; NaN is a key too.
//
// Source: ai.onnx.ml LabelEncoder-2, -4.
func makeLabelEncoder(a *Attrs) graph.Op {
	keys, values := listOfLabels(a, "keys"), listOfLabels(a, "values")
	number, text, float := attr(a, "default_int64", int64(-1)), a.String("default_string", "_Unused"), a.Float("default_float", 0)
	missing := tensor.Of([]int64{number}, 1)
	switch {
	case a.Has("default_tensor"):
		missing = a.Tensor("default_tensor")
	case values.DType == tensor.Packed:
		missing = a.strings([]string{text}, 1)
	case values.DType.IsFloat():
		missing = tensor.Of([]float32{float}, 1)
	}
	if a.err != nil {
		return nil
	}
	if values.DType != tensor.Packed && missing != nil && missing.DType != tensor.Packed && values.DType != missing.DType {
		cast, err := graph.Apply(cast{to: values.DType}, 0, missing)
		if err != nil {
			a.Fail("default: %w", err)
			return nil
		}
		missing = cast[0]
	}
	e := labelEncoder{keys: keys.DType, values: values, missing: missing, places: map[string]int64{}}
	names, err := labels(keys)
	if err != nil {
		a.Fail("keys: %w", err)
		return nil
	}
	e.count = int64(len(names))
	if shape, err := shapeOfValue(values); err != nil || shape.Elems() != len(names) || missing == nil || missing.DType != values.DType {
		a.Fail("got %d keys, and not as many values of the type of the default, %v", len(names), values.Type)
		return nil
	}
	for i, s := range names {
		e.places[s] = int64(i)
	}
	return &onValues{name: "LabelEncoder", need: 1, most: 1, infer: e.infer, run: e.run}
}

type labelEncoder struct {
	keys            tensor.DType
	values, missing *tensor.Tensor
	count           int64            // of the values
	places          map[string]int64 // of the values, by key
}

// labels returns the elements of t as strings, equal for equal elements.
func labels(t *tensor.Tensor) ([]string, error) {
	if t.DType == tensor.Packed {
		list, _, err := stringsOf("x", t)
		return list, err
	}
	if t.Shape.Elems() > tensor.MaxStrings {
		return nil, fmt.Errorf("%d elements, limit is %d", t.Shape.Elems(), tensor.MaxStrings)
	}
	write, err := writer(t)
	if err != nil {
		return nil, err
	}
	list := make([]string, t.Shape.Elems())
	for i := range list {
		if list[i] = write(i); list[i] == "-0.0" {
			list[i] = "0.0"
		}
	}
	return list, nil
}

func (e *labelEncoder) infer(in []graph.Fact) ([]graph.Fact, error) {
	if in[0].DType != e.keys {
		return nil, fmt.Errorf("x is %v, want %v as the keys", in[0].Type, e.keys)
	}
	if e.keys == tensor.Packed || e.values.DType == tensor.Packed {
		return nil, late("x")
	}
	return []graph.Fact{{Type: tensor.Type{DType: e.values.DType, Shape: in[0].Shape}}}, nil
}

func (e *labelEncoder) run(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	names, err := labels(in[0])
	if err != nil {
		return nil, err
	}
	shape, err := shapeOfValue(in[0])
	if err != nil {
		return nil, err
	}
	// The default stands behind the values.
	flat := tensor.Of([]int64{-1}, 1)
	ends := [2]*tensor.Tensor{e.values, e.missing}
	for i := range ends {
		t, err := graph.Apply(reshape{}, 0, ends[i], flat)
		if err != nil {
			return nil, err
		}
		ends[i] = t[0]
	}
	all, err := graph.Apply(concat{0}, 0, ends[:]...)
	if err != nil {
		return nil, err
	}
	places := tensor.New(tensor.Int64, shape...)
	for i, s := range names {
		at, ok := e.places[s]
		if !ok {
			at = e.count
		}
		places.I64()[i] = at
	}
	return graph.Apply(gather{0}, 0, all[0], places)
}

// trees is the sum, mean, least or greatest of the leaves to which trees lead,
// for each target.
//
//	x: [N, features] f32, f64 or f16
//	y: [N, targets] of x's type
//
// Source: ai.onnx.ml TreeEnsemble-5.
type trees struct {
	how, after, targets int
	roots               []int
	nodes               []treeNode
	leaves              []treeLeaf
	features            int // at least so many
}

// treeNode compares a feature and leads on.
type treeNode struct {
	mode    int
	feature int
	split   float64
	members map[float64]bool
	missing bool    // NaN takes the branch of what is true
	next    [2]int  // of false and true
	leaf    [2]bool // whether that is one
}

type treeLeaf struct {
	target int
	weight float64
}

// The modes of a treeNode, and how leaves and results are treated.
const (
	modeMember    = 6
	aggregateMean = 0
	aggregateSum  = 1
	aggregateMin  = 2
	aggregateMax  = 3
	afterNone     = 0
	afterSoftmax  = 1
	afterLogistic = 2
	afterZero     = 3
	afterProbit   = 4
)

func makeTrees(a *Attrs) graph.Op {
	t := trees{how: a.Int("aggregate_function", aggregateSum), after: a.Int("post_transform", afterNone), targets: a.Int("n_targets", 1), roots: a.Ints("tree_roots")}
	a.Tensor("nodes_hitrates") // how often a node is passed does not matter
	features, missing := a.Ints("nodes_featureids"), a.Ints("nodes_missing_value_tracks_true")
	next := [2][]int{a.Ints("nodes_falsenodeids"), a.Ints("nodes_truenodeids")}
	leaf := [2][]int{a.Ints("nodes_falseleafs"), a.Ints("nodes_trueleafs")}
	modes, splits, members := a.numbers("nodes_modes"), a.numbers("nodes_splits"), a.numbers("membership_values")
	targets, weights := a.Ints("leaf_targetids"), a.numbers("leaf_weights")
	n := len(features)
	if a.err != nil {
		return nil
	}
	switch {
	case t.how < aggregateMean || t.how > aggregateMax || t.after < afterNone || t.after > afterProbit || t.targets < 1 || t.targets > maxItems:
		a.Fail("aggregate_function %d, post_transform %d and %d targets, want 0 to 3, 0 to 4 and at least 1", t.how, t.after, t.targets)
	case t.after == afterProbit && t.targets != 1:
		a.Fail("%w post_transform 4 for %d targets", ErrUnsupported, t.targets)
	case len(next[0]) != n || len(next[1]) != n || len(leaf[0]) != n || len(leaf[1]) != n || len(modes) != n || len(splits) != n || missing != nil && len(missing) != n || len(targets) != len(weights):
		a.Fail("the lists of nodes or leaves differ in length")
	}
	if a.err != nil {
		return nil
	}
	for i := range targets {
		if targets[i] < 0 || targets[i] >= t.targets {
			a.Fail("leaf %d has target %d, want 0 to %d", i, targets[i], t.targets-1)
			return nil
		}
		t.leaves = append(t.leaves, treeLeaf{targets[i], weights[i]})
	}
	for i := range n {
		d := treeNode{mode: int(modes[i]), feature: features[i], split: splits[i], missing: missing != nil && missing[i] != 0}
		if d.mode == modeMember {
			d.members = map[float64]bool{}
			for len(members) > 0 {
				v := members[0]
				if members = members[1:]; v != v {
					break
				}
				d.members[v] = true
			}
		}
		for k := range 2 {
			d.next[k], d.leaf[k] = next[k][i], leaf[k][i] != 0
			most := n
			if d.leaf[k] {
				most = len(t.leaves)
			}
			if d.next[k] < 0 || d.next[k] >= most {
				a.Fail("node %d leads to %d, want 0 to %d", i, d.next[k], most-1)
			}
		}
		if d.mode < 0 || d.mode > modeMember || d.feature < 0 || d.feature > math.MaxInt32 {
			a.Fail("node %d has mode %d and feature %d", i, d.mode, d.feature)
		}
		t.features = max(t.features, d.feature+1)
		t.nodes = append(t.nodes, d)
	}
	for _, r := range t.roots {
		if r < 0 || r >= n {
			a.Fail("a tree begins at node %d of %d", r, n)
		}
	}
	return t
}

// numbers returns the elements of a tensor attribute, none if it is not given.
func (a *Attrs) numbers(name string) []float64 {
	t := a.Tensor(name)
	if t == nil {
		return nil
	}
	if t.DType == tensor.Packed {
		a.Fail("attribute %q is no tensor of numbers", name)
		return nil
	}
	list, read := make([]float64, t.Shape.Elems()), floatAt(t.DType)
	for i := range list {
		list[i] = read(t.Raw, i)
	}
	return list
}

func (trees) String() string { return "TreeEnsemble" }

func (t trees) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	x := in[0]
	if err := checkType("x", x.DType, tensor.Float32, tensor.Float64, tensor.Float16); err != nil {
		return nil, err
	}
	if len(x.Shape) != 2 || x.Shape[1] < t.features {
		return nil, fmt.Errorf("x has shape %v, want [N F] with at least %d features", x.Shape, t.features)
	}
	return []graph.Fact{{Type: tensor.Type{DType: x.DType, Shape: tensor.Shape{x.Shape[0], t.targets}}}}, nil
}

// FLOPs counts all nodes, of which a run passes few.
func (t trees) FLOPs(in, out []graph.Fact) int64 {
	return flops(in[0].Shape[0], len(t.nodes)+t.targets)
}

func (t trees) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	rows, width := in[0].Shape[0], in[0].Shape[1]
	load, store := floatAt(in[0].DType), floatTo(in[0].DType)
	count := chunks(rows, mathTime*float64(len(t.roots)+t.targets))
	return graph.Kernel{Info: "generic go", Scratch: 2 * t.targets * tensor.Float64.Size(), Steps: []graph.Step{{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
		scratch := tensor.Cast[float64](e.Scratch)
		sums, hits := scratch[:t.targets], scratch[t.targets:][:t.targets]
		lo, hi := span(rows, count, i, 1)
		for r := lo; r < hi; r++ {
			clear(sums)
			clear(hits)
			for _, root := range t.roots {
				leaf, err := t.find(root, func(feature int) float64 { return load(in[0].Raw, r*width+feature) })
				if err != nil {
					return err
				}
				l := &t.leaves[leaf]
				switch first := hits[l.target] == 0; {
				case first:
					sums[l.target] = l.weight
				case t.how == aggregateMin:
					sums[l.target] = min(sums[l.target], l.weight)
				case t.how == aggregateMax:
					sums[l.target] = max(sums[l.target], l.weight)
				default:
					sums[l.target] += l.weight
				}
				hits[l.target]++
			}
			if t.how == aggregateMean {
				for k := range sums {
					sums[k] /= float64(max(1, len(t.roots)))
				}
			}
			t.finish(sums)
			for k, v := range sums {
				store(out[0].Raw, r*t.targets+k, v)
			}
		}
		return nil
	}}}}, nil
}

// find returns the leaf to which the tree with the given root leads.
func (t trees) find(root int, feature func(i int) float64) (int, error) {
	at := root
	for range len(t.nodes) {
		n := &t.nodes[at]
		v := feature(n.feature)
		branch := 0
		if n.holds(v) || v != v && n.missing {
			branch = 1
		}
		at = n.next[branch]
		if n.leaf[branch] {
			return at, nil
		}
	}
	return 0, fmt.Errorf("the tree of node %d has a cycle", root)
}

// holds reports whether the comparison of the node is true.
func (n *treeNode) holds(v float64) bool {
	switch n.mode {
	case 0:
		return v <= n.split
	case 1:
		return v < n.split
	case 2:
		return v >= n.split
	case 3:
		return v > n.split
	case 4:
		return v == n.split
	case 5:
		return v != n.split
	}
	return n.members[v]
}

// finish applies what comes after the trees to the results of one row.
func (t trees) finish(v []float64) {
	switch t.after {
	case afterLogistic:
		for i := range v {
			v[i] = 1 / (1 + math.Exp(-v[i]))
		}
	case afterProbit:
		v[0] = math.Sqrt2 * math.Erfinv(2*v[0]-1)
	case afterSoftmax, afterZero:
		top, sum := math.Inf(-1), 0.0
		for _, x := range v {
			top = max(top, x)
		}
		for i, x := range v {
			if t.after == afterZero && x == 0 {
				continue // zeros stay
			}
			v[i] = math.Exp(x - top)
			sum += v[i]
		}
		for i := range v {
			v[i] /= sum
		}
	}
}
