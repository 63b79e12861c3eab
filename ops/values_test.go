package ops

import (
	"math"
	"slices"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// words returns a tensor of strings.
func words(tb testing.TB, list []string, shape ...int) *tensor.Tensor {
	tb.Helper()
	return packValue(tb, tensor.Value{Kind: tensor.Strings, Shape: shape, Strings: list})
}

func packValue(tb testing.TB, v tensor.Value) *tensor.Tensor {
	tb.Helper()
	t, err := v.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func listOf(tb testing.TB, items ...*tensor.Tensor) *tensor.Tensor {
	tb.Helper()
	return packValue(tb, tensor.Value{Kind: tensor.Sequence, Items: items})
}

func listed64(v ...int64) *tensor.Tensor { return tensor.Of(v, len(v)) }

// valueCase applies an operator to values; want is empty where it must refuse.
type valueCase struct {
	name string
	op   graph.Op
	in   []*tensor.Tensor
	want []*tensor.Tensor
}

func checkValues(t *testing.T, cases []valueCase) {
	t.Helper()
	for _, c := range cases {
		got, err := graph.Apply(c.op, 0, c.in...)
		if (err == nil) != (c.want != nil) {
			t.Errorf("%s: got %v, want an error: %v", c.name, err, c.want == nil)
			continue
		}
		for i, w := range c.want {
			if !got[i].Identical(w) {
				t.Errorf("%s: result %d is %v %q, want %v %q", c.name, i, got[i].Type, got[i].Raw, w.Type, w.Raw)
			}
		}
	}
}

func TestSequenceOperators(t *testing.T) {
	a, b, c := listed64(1, 2), listed64(3), tensor.Of([]float32{4}, 1)
	abc, ab := listOf(t, a, b, c), listOf(t, a, b)
	at := func(v int64) *tensor.Tensor { return tensor.Scalar(v) }
	insert, erase, item := build(t, "SequenceInsert", 11), build(t, "SequenceErase", 11), build(t, "SequenceAt", 11)
	split, concat := build(t, "SplitToSequence", 11, "axis", 1), build(t, "ConcatFromSequence", 11, "axis", -1)
	m := tensor.Of([]int64{1, 2, 3, 4, 5, 6}, 2, 3)
	column := func(v ...int64) *tensor.Tensor { return tensor.Of(v, 2, len(v)/2) }
	one := func(t *tensor.Tensor) []*tensor.Tensor { return []*tensor.Tensor{t} }
	checkValues(t, []valueCase{
		{"construct", build(t, "SequenceConstruct", 11), []*tensor.Tensor{a, b, c}, one(abc)},
		{"empty", build(t, "SequenceEmpty", 11, "dtype", 7), nil, one(listOf(t))},
		{"length", build(t, "SequenceLength", 11), one(abc), one(at(3))},
		{"at", item, []*tensor.Tensor{abc, at(1)}, one(b)},
		{"at the end", item, []*tensor.Tensor{abc, at(-1)}, one(c)},
		{"at int32", item, []*tensor.Tensor{abc, tensor.Scalar[int32](-3)}, one(a)},
		{"at 3", item, []*tensor.Tensor{abc, at(3)}, nil},
		{"at -4", item, []*tensor.Tensor{abc, at(-4)}, nil},
		{"at of a tensor", item, []*tensor.Tensor{a, at(0)}, nil},
		{"insert", insert, []*tensor.Tensor{ab, c}, one(abc)},
		{"insert at the end", insert, []*tensor.Tensor{ab, c, at(2)}, one(abc)},
		{"insert before the last", insert, []*tensor.Tensor{listOf(t, a, c), b, at(-1)}, one(abc)},
		{"insert behind the end", insert, []*tensor.Tensor{ab, c, at(3)}, nil},
		{"erase", erase, one(abc), one(ab)},
		{"erase the first", erase, []*tensor.Tensor{abc, at(0)}, one(listOf(t, b, c))},
		{"erase of nothing", erase, one(listOf(t)), nil},
		{"split", split, one(m), one(listOf(t, column(1, 4), column(2, 5), column(3, 6)))},
		{"split by 2", split, []*tensor.Tensor{m, at(2)}, one(listOf(t, column(1, 2, 4, 5), column(3, 6)))},
		{"split into 1 and 2", split, []*tensor.Tensor{m, listed64(1, 2)}, one(listOf(t, column(1, 4), column(2, 3, 5, 6)))},
		{"split into 1 and 1", split, []*tensor.Tensor{m, listed64(1, 1)}, nil},
		{"split without the dimension", build(t, "SplitToSequence", 11, "keepdims", 0), one(m), one(listOf(t, listed64(1, 2, 3), listed64(4, 5, 6)))},
		{"split of strings", build(t, "SplitToSequence", 24), one(words(t, []string{"x", "y"}, 2)), one(listOf(t, words(t, []string{"x"}, 1), words(t, []string{"y"}, 1)))},
		{"split by 0", split, []*tensor.Tensor{m, at(0)}, nil},
		{"concat", concat, one(listOf(t, column(1, 4), column(2, 3, 5, 6))), one(m)},
		{"concat of strings", concat, one(listOf(t, words(t, []string{"x"}, 1), words(t, []string{"y"}, 1))), one(words(t, []string{"x", "y"}, 2))},
		{"stack", build(t, "ConcatFromSequence", 11, "axis", 0, "new_axis", 1), one(listOf(t, listed64(1, 2, 3), listed64(4, 5, 6))), one(m)},
		{"concat of nothing", concat, one(listOf(t)), nil},
		{"concat of two types", concat, one(abc), nil},
	})
}

func TestOptionalOperators(t *testing.T) {
	x := listed64(1, 2)
	full := packValue(t, tensor.Value{Kind: tensor.Optional, Items: []*tensor.Tensor{x}})
	none := packValue(t, tensor.Value{Kind: tensor.Optional})
	has, get := build(t, "OptionalHasElement", 18), build(t, "OptionalGetElement", 18)
	one := func(t *tensor.Tensor) []*tensor.Tensor { return []*tensor.Tensor{t} }
	checkValues(t, []valueCase{
		{"full", build(t, "Optional", 15), one(x), one(full)},
		{"none", build(t, "Optional", 15), nil, one(none)},
		{"has", has, one(full), one(tensor.Scalar(true))},
		{"has none", has, one(none), one(tensor.Scalar(false))},
		{"tensor has", has, one(x), one(tensor.Scalar(true))},
		{"nothing has", has, one(nil), one(tensor.Scalar(false))},
		{"get", get, one(full), one(x)},
		{"get of a tensor", get, one(x), one(x)},
		{"get of none", get, one(none), nil},
	})
}

func TestOperatorsOfAnyTypeMoveStrings(t *testing.T) {
	x := words(t, []string{"b", "a", "c", "a"}, 2, 2)
	one := func(t *tensor.Tensor) []*tensor.Tensor { return []*tensor.Tensor{t} }
	checkValues(t, []valueCase{
		{"Identity", build(t, "Identity", 13), one(x), one(x)},
		{"Reshape", build(t, "Reshape", 14), []*tensor.Tensor{x, listed64(-1)}, one(words(t, []string{"b", "a", "c", "a"}, 4))},
		{"Transpose", build(t, "Transpose", 13), one(x), one(words(t, []string{"b", "c", "a", "a"}, 2, 2))},
		{"Concat", build(t, "Concat", 13, "axis", 1), []*tensor.Tensor{x, words(t, []string{"p", "q"}, 2, 1)}, one(words(t, []string{"b", "a", "p", "c", "a", "q"}, 2, 3))},
		{"Gather", build(t, "Gather", 13), []*tensor.Tensor{words(t, []string{"cat", "dog"}, 2), listed64(1, 0, 1)}, one(words(t, []string{"dog", "cat", "dog"}, 3))},
		{"Pad", build(t, "Pad", 13), []*tensor.Tensor{words(t, []string{"x"}, 1), listed64(1, 0)}, one(words(t, []string{"", "x"}, 2))},
		{"Equal", build(t, "Equal", 19), []*tensor.Tensor{x, words(t, []string{"a"}, 1)}, one(tensor.Of([]bool{false, true, false, true}, 2, 2))},
		{"Where", build(t, "Where", 16), []*tensor.Tensor{tensor.Of([]bool{true, false}, 2), x, words(t, []string{"z"}, 1)}, one(words(t, []string{"b", "z", "c", "z"}, 2, 2))},
		{"Shape", build(t, "Shape", 15), one(x), one(listed64(2, 2))},
		{"Unique", build(t, "Unique", 11), one(x), []*tensor.Tensor{words(t, []string{"a", "b", "c"}, 3), listed64(1, 0, 2), listed64(1, 0, 2, 0), listed64(2, 1, 1)}},
		{"Add", build(t, "Add", 14), []*tensor.Tensor{x, x}, nil},
		{"ScatterND that adds", build(t, "ScatterND", 16, "reduction", "add"), []*tensor.Tensor{x, tensor.Of([]int64{0}, 1, 1), words(t, []string{"a", "b"}, 1, 2)}, nil},
		{"Expand to too many", build(t, "Expand", 13), []*tensor.Tensor{words(t, []string{"x"}, 1), listed64(tensor.MaxStrings + 1)}, nil},
		{"Transpose of a sequence", build(t, "Transpose", 13), one(listOf(t, x)), nil},
	})
}

func TestStringOperators(t *testing.T) {
	days := words(t, []string{"Monday", "tuesday", "Élan"}, 3)
	one := func(t *tensor.Tensor) []*tensor.Tensor { return []*tensor.Tensor{t} }
	normal := func(attrs ...any) graph.Op { return build(t, "StringNormalizer", 10, attrs...) }
	lines := words(t, []string{"a,b,,c", "", "x"}, 3, 1)
	checkValues(t, []valueCase{
		{"as it is", normal(), one(days), one(days)},
		{"upper", normal("case_change_action", "UPPER"), one(days), one(words(t, []string{"MONDAY", "TUESDAY", "ÉLAN"}, 3))},
		{"stop exactly", normal("is_case_sensitive", 1, "stopwords", []string{"monday", "tuesday"}), one(days), one(words(t, []string{"Monday", "Élan"}, 2))},
		{"stop in any case", normal("case_change_action", "LOWER", "stopwords", []string{"MONDAY"}), one(days), one(words(t, []string{"tuesday", "élan"}, 2))},
		{"all stop", normal("stopwords", []string{"x"}), one(words(t, []string{"x", "X"}, 1, 2)), one(words(t, []string{""}, 1, 1))},
		{"two rows", normal(), one(lines), nil},
		{"concat", build(t, "StringConcat", 20), []*tensor.Tensor{days, words(t, []string{"!"}, 1)}, one(words(t, []string{"Monday!", "tuesday!", "Élan!"}, 3))},
		{"split", build(t, "StringSplit", 20, "delimiter", ","), one(lines), []*tensor.Tensor{
			words(t, []string{"a", "b", "", "c", "", "", "", "", "x", "", "", ""}, 3, 1, 4), tensor.Of([]int64{4, 1, 1}, 3, 1)}},
		{"split once", build(t, "StringSplit", 20, "delimiter", ",", "maxsplit", 1), one(words(t, []string{"a,b,c"}, 1)), []*tensor.Tensor{
			words(t, []string{"a", "b,c"}, 1, 2), listed64(2)}},
		{"split at space", build(t, "StringSplit", 20), one(words(t, []string{"  one\ttwo  ", " "}, 2)), []*tensor.Tensor{
			words(t, []string{"one", "two", "", ""}, 2, 2), listed64(2, 0)}},
		{"split at space once", build(t, "StringSplit", 20, "maxsplit", 1), one(words(t, []string{" a  b c "}, 1)), []*tensor.Tensor{
			words(t, []string{"a", "b c "}, 1, 2), listed64(2)}},
		{"match", build(t, "RegexFullMatch", 20, "pattern", `a|b+`), one(words(t, []string{"a", "bb", "ab", ""}, 4)), one(tensor.Of([]bool{true, true, false, false}, 4))},
		{"to numbers", build(t, "Cast", 13, "to", 1), one(words(t, []string{"1.5", "-1e3", "INF", "nan"}, 4)),
			one(tensor.Of([]float32{1.5, -1000, float32(math.Inf(1)), float32(math.NaN())}, 4))},
		{"to large numbers", build(t, "Cast", 13, "to", 7), one(words(t, []string{"9007199254740993", "-2.9"}, 2)), one(listed64(9007199254740993, -2))},
		{"to no number", build(t, "Cast", 13, "to", 1), one(days), nil},
		{"of numbers", build(t, "Cast", 13, "to", 8), one(tensor.Of([]float32{1, 0.1, 1e-5, 1e16, -0.001}, 5)), one(words(t, []string{"1.0", "0.1", "1e-05", "1e+16", "-0.001"}, 5))},
		{"of integers", build(t, "CastLike", 15), []*tensor.Tensor{tensor.Of([]uint64{math.MaxUint64}, 1), days}, one(words(t, []string{"18446744073709551615"}, 1))},
	})
	if _, err := New("", "RegexFullMatch", 20, attrList("pattern", "(")); err == nil {
		t.Error("a pattern that is no regular expression was accepted")
	}
}

// The n-grams 2 3, 5 4 and 7 8 are counted at distances of 1 to 3.
func TestTfIdfVectorizerCountsGramsAtDistances(t *testing.T) {
	attrs := func(mode string, skips int) []any {
		return []any{"mode", mode, "min_gram_length", 1, "max_gram_length", 2, "max_skip_count", skips, "ngram_counts", []int{0, 2},
			"ngram_indexes", []int{1, 0, 4, 3, 2}, "pool_int64s", []int{5, 9, 2, 3, 5, 4, 7, 8}, "weights", []float32{2, 3, 5, 7, 11}}
	}
	x := tensor.Of([]int64{2, 7, 3, 8, 5, 4, 2, 3, 5, 5, 9, 4}, 2, 6)
	for _, c := range []struct {
		mode  string
		skips int
		want  []float32 // 9, 5, "7 8", "5 4", "2 3"
	}{
		{"TF", 0, []float32{0, 1, 0, 1, 0, 1, 2, 0, 0, 1}},
		{"TF", 2, []float32{0, 1, 1, 1, 1, 1, 2, 0, 2, 1}},
		{"IDF", 2, []float32{0, 3, 5, 7, 11, 2, 3, 0, 7, 11}},
		{"TFIDF", 2, []float32{0, 3, 5, 7, 11, 2, 6, 0, 14, 11}},
	} {
		op := build(t, "TfIdfVectorizer", 9, attrs(c.mode, c.skips)...)
		y, err := graph.Apply(op, 0, x)
		if err != nil || !slices.Equal(y[0].F32(), c.want) || !y[0].Shape.Equal(tensor.Shape{2, 5}) {
			t.Errorf("%s with %d skips: got %v, %v, want %v", c.mode, c.skips, y, err, c.want)
		}
	}
	text := build(t, "TfIdfVectorizer", 9, "mode", "TF", "min_gram_length", 1, "max_gram_length", 1, "max_skip_count", 0, "ngram_counts", []int{0},
		"ngram_indexes", []int{0, 1}, "pool_strings", []string{"a", "b"})
	if y, err := graph.Apply(text, 0, words(t, []string{"b", "c", "b"}, 3)); err != nil || !slices.Equal(y[0].F32(), []float32{0, 2}) {
		t.Errorf("strings: got %v, %v, want [0 2]", y, err)
	}
	for name, bad := range map[string][]any{
		"no pool":         {"pool_int64s", nil},
		"gram beyond":     {"max_gram_length", 3},
		"cut gram":        {"pool_int64s", []int{5, 9, 2, 3, 5, 4, 7}},
		"huge index":      {"ngram_indexes", []int{1, 0, 4, 3, math.MaxInt}},
		"too few indexes": {"ngram_indexes", []int{1, 0, 4, 3}},
	} {
		list := attrs("TF", 0)
		for i := 0; i < len(list); i += 2 {
			if list[i] == bad[0] {
				list[i+1] = bad[1]
			}
		}
		if _, err := New("", "TfIdfVectorizer", 9, attrList(list...)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
