package tensor

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func packed(tb testing.TB, v Value) *Tensor {
	tb.Helper()
	t, err := v.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func TestUnpackGivesWhatWasPacked(t *testing.T) {
	words := Value{Kind: Strings, Shape: Shape{2, 2}, Strings: []string{"", "a", "größer", "a\x00b"}}
	list := Value{Kind: Sequence, Items: []*Tensor{Of([]float64{1, 2}, 2), packed(t, words), Scalar(true), New(Float32, 0, 3)}}
	for _, v := range []Value{
		words,
		{Kind: Strings, Shape: Shape{}, Strings: []string{"one"}},
		{Kind: Strings, Shape: Shape{0, 4}, Strings: []string{}},
		list,
		{Kind: Sequence},
		{Kind: Optional},
		{Kind: Optional, Items: []*Tensor{packed(t, list)}},
		{Kind: Map, Items: []*Tensor{packed(t, words), Of([]int64{1, 2, 3, 4}, 4)}},
	} {
		p := packed(t, v)
		if p.DType != Packed || !p.Shape.Equal(Shape{len(p.Raw)}) {
			t.Errorf("%v is packed as %v of %d bytes", v.Kind, p.Type, len(p.Raw))
		}
		got, err := p.Unpack()
		if err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("got %v, %v, want %v", got, err, v)
		}
		for _, item := range got.Items {
			if !Aligned(item.Raw, item.DType.Size()) {
				t.Errorf("an item of %v is not aligned", item.Type)
			}
		}
		for n := range len(p.Raw) {
			short := &Tensor{Type{Packed, Shape{n}}, p.Raw[:n]}
			if _, err := short.Unpack(); !errors.Is(err, ErrPacked) {
				t.Errorf("%v cut to %d of %d bytes: got %v, want ErrPacked", v.Kind, n, len(p.Raw), err)
			}
		}
	}
}

func TestPackRefusesWhatIsNoValue(t *testing.T) {
	deep := packed(t, Value{Kind: Optional})
	for range maxNesting {
		deep = packed(t, Value{Kind: Sequence, Items: []*Tensor{deep}})
	}
	for name, v := range map[string]Value{
		"no kind":              {},
		"shape of two strings": {Kind: Strings, Shape: Shape{2}, Strings: []string{"one"}},
		"negative shape":       {Kind: Strings, Shape: Shape{-1, -1}, Strings: []string{"one"}},
		"two in an optional":   {Kind: Optional, Items: []*Tensor{deep, deep}},
		"keys alone":           {Kind: Map, Items: []*Tensor{deep}},
		"too deep":             {Kind: Sequence, Items: []*Tensor{deep}},
	} {
		if p, err := v.Pack(); p != nil || !errors.Is(err, ErrPacked) {
			t.Errorf("%s: got %v, %v, want ErrPacked", name, p, err)
		}
	}
}

// Whatever the bytes, Unpack gives an error or a value that packs to a tensor
// which gives the same value again.
func FuzzUnpack(f *testing.F) {
	words := packed(f, Value{Kind: Strings, Shape: Shape{2}, Strings: []string{"a", "bc"}})
	f.Add(words.Raw)
	f.Add(packed(f, Value{Kind: Sequence, Items: []*Tensor{words, Scalar[int64](7)}}).Raw)
	f.Add(packed(f, Value{Kind: Optional}).Raw)
	f.Add([]byte{1, 0, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &Tensor{Type{Packed, Shape{len(b)}}, append(Alloc(len(b))[:0], b...)}
		v, err := p.Unpack()
		if err != nil {
			return
		}
		again, err := v.Pack()
		if err != nil {
			t.Fatalf("%v does not pack: %v", v, err)
		}
		w, err := again.Unpack()
		if err != nil || w.Kind != v.Kind || !w.Shape.Equal(v.Shape) || len(w.Items) != len(v.Items) || len(w.Strings) != len(v.Strings) {
			t.Fatalf("got %v, %v, want %v", w, err, v)
		}
		for i := range v.Items {
			if !v.Items[i].Type.Equal(w.Items[i].Type) || !bytes.Equal(v.Items[i].Raw, w.Items[i].Raw) {
				t.Fatalf("item %d is %v, want %v", i, w.Items[i], v.Items[i])
			}
		}
	})
}
