package ops

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() { register("TfIdfVectorizer", 9, makeVectorizer) }

// vectorizer counts how often the n-grams of a pool are in lists of words.
//
//	x: [C] or [N, C]; strings if the pool has them, else i64 or i32
//	y: [size] or [N, size] f32; late if x is of strings
//
// An n-gram is n words in order, of which neighbours are the same distance
// apart: 1 to skips+1. Single words are counted once. Element i of a row of y is
// the number of the n-grams that have index i, with mode TF; whether there is any,
// times weight i, with IDF; that number times weight i with TFIDF. Weights that are
// not given are 1.
//
// Source: ONNX TfIdfVectorizer-9.
type vectorizer struct {
	mode        string
	least, most int // words of an n-gram
	skips       int
	size        int
	weights     []float32
	text        bool
	index       map[string]int // of each n-gram's words, see gram
}

// gram joins the words of an n-gram, each of which has its length in front, so
// that no two n-grams are joined alike.
func gram(words ...string) string {
	var b strings.Builder
	for _, w := range words {
		b.WriteString(strconv.Itoa(len(w)) + ":" + w)
	}
	return b.String()
}

// maxGram bounds the words of an n-gram, and maxGrams the length of a row of counts.
const (
	maxGram  = 1 << 10
	maxGrams = 1 << 28
)

func makeVectorizer(a *Attrs) graph.Op {
	v := vectorizer{mode: a.String("mode", ""), least: a.Int("min_gram_length", 0), most: a.Int("max_gram_length", 0), skips: a.Int("max_skip_count", 0),
		weights: a.Floats("weights"), text: a.Has("pool_strings"), index: map[string]int{}}
	pool := slices.Clone(a.Strings("pool_strings"))
	if numbers := a.Has("pool_int64s"); numbers == v.text {
		a.Fail("want one of the attributes %q and %q", "pool_strings", "pool_int64s")
	}
	for _, n := range attr(a, "pool_int64s", []int64(nil)) {
		pool = append(pool, strconv.FormatInt(n, 10))
	}
	starts, indexes := a.Ints("ngram_counts"), a.Ints("ngram_indexes")
	switch {
	case !slices.Contains([]string{"TF", "IDF", "TFIDF"}, v.mode):
		a.Fail("attribute %q is %q, want TF, IDF or TFIDF", "mode", v.mode)
	case v.least < 1 || v.most < v.least || v.most > maxGram || v.most > len(starts):
		a.Fail("n-grams of %d to %d words, want 1 to %d as %q has", v.least, v.most, min(len(starts), maxGram), "ngram_counts")
	case v.skips < 0 || v.skips > math.MaxInt32:
		a.Fail("attribute %q is %d, want at least 0", "max_skip_count", v.skips)
	case len(indexes) == 0 || slices.Min(indexes) < 0 || slices.Max(indexes) >= maxGrams:
		a.Fail("attribute %q is empty or has an index outside of 0 to %d", "ngram_indexes", maxGrams-1)
	}
	if a.err != nil {
		return nil
	}
	v.size = slices.Max(indexes) + 1
	if v.weights != nil && len(v.weights) != v.size {
		a.Fail("got %d weights, want %d", len(v.weights), v.size)
	}
	number := 0 // of the n-gram
	for n := 1; n <= len(starts); n++ {
		start, end := starts[n-1], len(pool)
		if n < len(starts) {
			end = starts[n]
		}
		if start < 0 || start > end || end > len(pool) || (end-start)%n != 0 {
			a.Fail("the n-grams of %d words lie at %d to %d of %d words", n, start, end, len(pool))
			break
		}
		for ; start < end; start += n {
			if number == len(indexes) {
				a.Fail("got %d indexes of n-grams, want more", number)
				return nil
			}
			if n >= v.least && n <= v.most {
				v.index[gram(pool[start:start+n]...)] = indexes[number]
			}
			number++
		}
	}
	return &onValues{name: "TfIdfVectorizer[" + v.mode + "]", need: 1, most: 1, infer: v.infer, run: v.run}
}

// shape returns the shape of the result.
func (v *vectorizer) shape(x tensor.Shape) (tensor.Shape, error) {
	if len(x) > 2 {
		return nil, fmt.Errorf("x has shape %v, want [C] or [N C]", x)
	}
	shape := tensor.Shape{v.size}
	if len(x) == 2 {
		shape = tensor.Shape{x[0], v.size}
	}
	_, err := tensor.CheckType(tensor.Float32, shape, graph.DefaultLimit)
	return shape, err
}

func (v *vectorizer) infer(in []graph.Fact) ([]graph.Fact, error) {
	if v.text {
		return nil, late("x")
	}
	if err := checkType("x", in[0].DType, tensor.Int64, tensor.Int32); err != nil {
		return nil, err
	}
	shape, err := v.shape(in[0].Shape)
	return []graph.Fact{{Type: tensor.Type{DType: tensor.Float32, Shape: shape}}}, err
}

func (v *vectorizer) run(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x := in[0]
	if !v.text {
		texts, err := toStrings(x)
		if err != nil {
			return nil, err
		}
		x = texts[0]
	}
	words, shape, err := stringsOf("x", x)
	if err != nil {
		return nil, err
	}
	if shape, err = v.shape(shape); err != nil {
		return nil, err
	}
	y := tensor.New(tensor.Float32, shape...)
	rows := shape[:len(shape)-1].Elems()
	for r := range rows {
		length := len(words) / rows
		row := y.F32()[r*v.size:][:v.size]
		v.count(words[r*length:][:length], row)
		for i, n := range row {
			weight := float32(1)
			if v.weights != nil {
				weight = v.weights[i]
			}
			switch {
			case v.mode == "TFIDF":
				row[i] = n * weight
			case v.mode == "IDF" && n > 0:
				row[i] = weight
			}
		}
	}
	return []*tensor.Tensor{y}, nil
}

// count adds to counts how often each n-gram is in words.
func (v *vectorizer) count(words []string, counts []float32) {
	parts := make([]string, len(words))
	for i, w := range words {
		parts[i] = gram(w)
	}
	least := v.least
	for distance := 1; distance <= v.skips+1 && distance <= len(words) && least <= v.most; distance++ {
		var key []byte
		for i := range words {
			key = key[:0]
			for n := 1; n <= v.most; n++ {
				at := i + (n-1)*distance
				if at >= len(words) {
					break
				}
				key = append(key, parts[at]...)
				if at, ok := v.index[string(key)]; ok && n >= least {
					counts[at]++
				}
			}
		}
		least = max(least, 2)
	}
}
