package ops

import (
	"math"
	"slices"
	"strings"
	"testing"

	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// slowEinsum sums the products over all values of all letters.
func slowEinsum(terms []string, result string, sizes map[rune]int, in []*tensor.Tensor) (y, magnitude []float64) {
	var letters []rune
	all := tensor.Shape{}
	for _, l := range result + strings.Join(terms, "") {
		if !slices.Contains(letters, l) {
			letters, all = append(letters, l), append(all, sizes[l])
		}
	}
	n := all[:len(result)].Elems()
	y, magnitude = make([]float64, n), make([]float64, n)
	for _, at := range coordinates(all) {
		product := 1.0
		for i, text := range terms {
			var c []int
			for d, l := range text {
				c = append(c, min(at[slices.Index(letters, l)], in[i].Shape[d]-1))
			}
			product *= tensortest.At(in[i], index(in[i].Shape, c...))
		}
		to := index(all[:len(result)], at[:len(result)]...)
		y[to], magnitude[to] = y[to]+product, magnitude[to]+math.Abs(product)
	}
	return y, magnitude
}

func TestEinsumIsTheSumOfProducts(t *testing.T) {
	sizes := map[rune]int{'a': 2, 'b': 3, 'c': 4, 'd': 5, 'e': 1, 'f': 6}
	for i, c := range []struct{ equation, plain string }{ // plain: without ellipsis, with a result
		{"ab,bc->ac", ""}, {"ab , bc", "ab,bc->ac"}, {"ba,cb", "ba,cb->ac"}, {"abc,acd->abd", ""}, {"abcd,bfcd->abf", ""},
		{"ab->ba", ""}, {"ab->a", ""}, {"ab->", ""}, {"aa", "aa->"}, {"aa->a", ""}, {"abab->ba", ""}, {"aba,bd->da", ""},
		{"a,b->ab", ""}, {"a,a->a", ""}, {"a,a", "a,a->"}, {"ab,ab->ab", ""}, {"ab,cd->dcba", ""}, {"ae,eb->aeb", ""},
		{"ab,bc,cd->ad", ""}, {"abc,b,cd,a->d", ""}, {"ab,cd,ad->bc", ""}, {"...b,bc->...c", "fdb,bc->fdc"}, {"...ab->...", "cab->c"},
		{"a...,...b->ab...", "acd,dcb->abcd"}, {"...a,...a", "cda,da->cd"}, {"f,->f", ""},
	} {
		plain := c.plain
		if plain == "" {
			plain = c.equation
		}
		left, right, _ := strings.Cut(plain, "->")
		if c.equation == "a...,...b->ab..." {
			left = "acd,cdb"
		}
		terms := strings.Split(left, ",")
		r := source(uint64(i))
		var in []*tensor.Tensor
		var given []any
		for _, text := range terms {
			s := []int{}
			for _, l := range text {
				s = append(s, sizes[l])
			}
			in = append(in, reals(r, s...))
			given = append(given, in[len(in)-1])
		}
		want, magnitude := slowEinsum(terms, right, sizes, in)
		y := apply(t, build(t, "Einsum", 12, "equation", c.equation), given...)[0]
		checkClose(t, c.equation, y, want, magnitude, 300)
	}
	stretched := apply(t, build(t, "Einsum", 12, "equation", "ab,ab->ab"), tensor.Of([]float32{2, 3}, 2, 1), tensor.Of([]float32{1, 10, 100}, 1, 3))[0]
	if want := tensor.Of([]float32{2, 20, 200, 3, 30, 300}, 2, 3); !stretched.Identical(want) {
		t.Errorf("dimensions of 1: got %v, want %v", stretched.F32(), want.F32())
	}
}

func TestEinsumRefusesWhatDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		equation string
		in       []any
	}{
		{"ab,bc->ac", []any{float(2, 3)}},
		{"ab,bc->ac", []any{float(2, 3), float(4, 5)}},
		{"ab->abc", []any{float(2, 3)}},
		{"ab->aa", []any{float(2, 3)}},
		{"abc->a", []any{float(2, 3)}},
		{"a->a", []any{float(2, 3)}},
		{"a1->a", []any{float(2, 3)}},
		{"a......->a", []any{float(2, 3)}},
		{"ab->0", []any{float(2, 3)}},
		{"aa->a", []any{float(2, 3)}},
		{"...a->a0", []any{float(2, 3)}},
		{"ab,ab", []any{float(2, 3), nil}},
	} {
		if out, err := build(t, "Einsum", 12, "equation", c.equation).Infer(factsOf(c.in)); err == nil {
			t.Errorf("%q: got %v, want an error", c.equation, out)
		}
	}
}

func TestDetIsTheSumOverPermutations(t *testing.T) {
	r := source(7)
	for n := range 6 {
		x := reals(r, 2, 3, n, n)
		y := apply(t, build(t, "Det", 11), x)[0]
		if !y.Shape.Equal(tensor.Shape{2, 3}) {
			t.Fatalf("got %v, want [2 3]", y.Shape)
		}
		for m := range 6 {
			want := 0.0
			for _, p := range permutations(n) {
				v := 1.0
				for i := range p {
					v *= tensortest.At(x, (m*n+i)*n+p[i])
					for j := range i {
						if p[j] > p[i] {
							v = -v
						}
					}
				}
				want += v
			}
			if got := tensortest.At(y, m); math.Abs(got-want) > 1e-6 {
				t.Errorf("%d rows: got %v, want %v", n, got, want)
			}
		}
	}
}
