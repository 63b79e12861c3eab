package isa

import (
	"slices"
	"testing"
)

func TestEnvironmentOnlyLowersTheLevel(t *testing.T) {
	avx2, avx512, neon := []Level{Go, AVX2}, []Level{Go, AVX2, AVX512}, []Level{Go, NEON}
	for _, c := range []struct {
		cpu  []Level
		want string
		got  []Level
		ok   bool
	}{
		{avx2, "", avx2, true},
		{avx2, "go", []Level{Go}, true},
		{avx512, "avx2", avx2, true},
		{avx512, "avx512", avx512, true},
		{neon, "neon", neon, true},
		{neon, "go", []Level{Go}, true},
		{neon, "avx2", neon, false},
		{avx512, "neon", avx512, false},
		{avx2, "avx512", avx2, false},
		{[]Level{Go}, "avx2", []Level{Go}, false},
		{avx2, "sse", avx2, false},
		{avx2, "AVX2", avx2, false},
	} {
		got, err := choose(c.cpu, c.want)
		if !slices.Equal(got, c.got) || (err == nil) != c.ok {
			t.Errorf("choose(%s, %q) = %s, %v; want %s, ok %v", c.cpu, c.want, got, err, c.got, c.ok)
		}
	}
}

func TestLevelsOfOtherProcessorsAreNotHad(t *testing.T) {
	family := map[Level]bool{AVX2: false, AVX512: false, NEON: true}
	for l := Go; l <= NEON; l++ {
		want := l == Go || l <= Best() && family[l] == family[Best()] && Best() != Go
		if Have(l) != want {
			t.Errorf("Have(%s) = %v with best %s", l, Have(l), Best())
		}
	}
	if !Have(Go) {
		t.Error("portable Go is missing")
	}
	if s := Level(9).String(); s != "isa(9)" {
		t.Errorf("unknown level is %q, want isa(9)", s)
	}
}
