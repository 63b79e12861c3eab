package isa

import "testing"

func TestEnvironmentOnlyLowersTheLevel(t *testing.T) {
	for _, c := range []struct {
		cpu  Level
		want string
		got  Level
		ok   bool
	}{
		{AVX2, "", AVX2, true},
		{AVX2, "go", Go, true},
		{AVX512, "avx2", AVX2, true},
		{AVX512, "avx512", AVX512, true},
		{AVX2, "avx512", AVX2, false},
		{Go, "avx2", Go, false},
		{AVX2, "sse", AVX2, false},
		{AVX2, "AVX2", AVX2, false},
	} {
		got, err := choose(c.cpu, c.want)
		if got != c.got || (err == nil) != c.ok {
			t.Errorf("choose(%s, %q) = %s, %v; want %s, ok %v", c.cpu, c.want, got, err, c.got, c.ok)
		}
	}
}

func TestLevelsBelowTheBestAreHad(t *testing.T) {
	for l := Go; l <= AVX512; l++ {
		if Have(l) != (l <= Best()) {
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
