package main

import (
	"slices"
	"strings"
	"testing"
)

func TestBenchmarksGiveBestRateOfEachCaseAndPeak(t *testing.T) {
	got, peak, err := parseBenchmarks(strings.NewReader(`goos: linux
pkg: scission/ops/internal/conv
BenchmarkLayers/avx2_6x16/resnet50/3x3_64_56-2   3  100 ns/op  90.00 %peak  108.0 GFLOP/s
BenchmarkLayers/go_2x16/resnet50/3x3_64_56-2     3  900 ns/op  2.4 GFLOP/s
PASS
pkg: scission/ops/internal/gemm
BenchmarkKernel/512x512x512/6x16_AVX2-2          3  100 ns/op  0.28 GB/s-of-B  72.5 GFLOP/s
BenchmarkKernel/512x512x512/6x16_AVX2#01-2       3  100 ns/op  0.28 GB/s-of-B  60.5 GFLOP/s
`))
	want := []kernel{
		{"conv", "Layers/resnet50/3x3_64_56", 108},
		{"gemm", "Kernel/512x512x512", 72.5},
		{"gemm", "Kernel/512x512x512#01", 60.5},
	}
	if err != nil || !slices.Equal(got, want) || peak != 120 {
		t.Errorf("got %v, %v, %v, want %v and 120", got, peak, err, want)
	}
	if _, _, err := parseBenchmarks(strings.NewReader("BenchmarkX-2 3 fast ns/op\n")); err == nil {
		t.Error("a rate that is no number is no error")
	}
}

func TestBandwidthCountsWhatIsReadAndWritten(t *testing.T) {
	passed := 0
	got := bandwidth(1, 2, func(to, from []byte) { passed += copy(to, from) })
	if got <= 0 || passed%(256<<20) != 0 {
		t.Errorf("%v GB/s over %d bytes, want some over whole passes", got, passed)
	}
}
