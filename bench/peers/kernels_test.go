package main

import (
	"slices"
	"strings"
	"testing"
)

func TestBenchmarksGiveBestRateOfEachCaseAndPeak(t *testing.T) {
	got, peak, err := parseBenchmarks(strings.NewReader(`goos: linux
pkg: scission/ops/internal/conv
BenchmarkLayers/avx2_6x16/resnet50/3x3_64_56-2   3  100 ns/op  90.00 %peak  85.00 %peak-median  108.0 GFLOP/s
BenchmarkLayers/go_2x16/resnet50/3x3_64_56-2     3  900 ns/op  2.4 GFLOP/s
PASS
pkg: scission/ops/internal/gemm
BenchmarkKernel/512x512x512/6x16_AVX2-2          3  100 ns/op  0.28 GB/s  72.5 GFLOP/s
BenchmarkKernel/512x512x512/6x16_AVX2#01-2       3  100 ns/op  0.28 GB/s  60.5 GFLOP/s
BenchmarkOneRow/1x4096x4096/6x16_AVX2-2          3  100 ns/op  20.5 GB/s  10.25 GFLOP/s
`))
	want := []kernel{
		{"conv", "Layers/resnet50/3x3_64_56", 108, 90, 85, 0},
		{"gemm", "Kernel/512x512x512", 72.5, 0, 0, 0},
		{"gemm", "Kernel/512x512x512#01", 60.5, 0, 0, 0},
		{"gemm", "OneRow/1x4096x4096", 10.25, 0, 0, 20.5},
	}
	if err != nil || !slices.Equal(got, want) || peak != 120 {
		t.Errorf("got %v, %v, %v, want %v and 120", got, peak, err, want)
	}
	if _, _, err := parseBenchmarks(strings.NewReader("BenchmarkX-2 3 fast ns/op\n")); err == nil {
		t.Error("a rate that is no number is no error")
	}
}

func TestKernelTableSaysWhichCasesAreBelowWhatIsWanted(t *testing.T) {
	r := kernelReport{Machine: machine{CPU: "Abacus"}, Peak: 100, Read: []float64{20, 30}, Copy: []float64{10, 15}, Kernels: []kernel{
		{"conv", "Layers/resnet50/a", 95, 95, 90, 0},
		{"conv", "Layers/resnet50/b", 89, 89, 80, 0},
		{"conv", "Layers/vgg16/c", 10, 10, 10, 0},
		{"gemm", "OneRow/1x4096x4096", 8, 8, 7, 16},
		{"blas", "512x512x512", 50, 0, 0, 0},
	}}
	var b strings.Builder
	r.table(&b)
	for _, want := range []string{
		"| conv | Layers/resnet50/a | 95.0 | 95 | 90 | – | – |\n",
		"| gemm | OneRow/1x4096x4096 | 8.0 | 8 | 7 | 16.0 | 80 |\n",
		"| blas | 512x512x512 | 50.0 | 50 | – | – | – |\n",
		"| direct convolution, ResNet50 | 90 | 89 | 92 | 95 | b (89) |\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("got\n%s\nwant %q in it", b.String(), want)
		}
	}
}

func TestBandwidthCountsWhatIsReadAndWritten(t *testing.T) {
	passed := 0
	got := bandwidth(1, 2, func(to, from []byte) { passed += copy(to, from) })
	if got <= 0 || passed%(256<<20) != 0 {
		t.Errorf("%v GB/s over %d bytes, want some over whole passes", got, passed)
	}
}
