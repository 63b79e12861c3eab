package main

import (
	"strings"
	"testing"
	"time"
)

func TestTableShowsRatiosMeansAndGaps(t *testing.T) {
	ms := time.Millisecond
	measured := func(network string, threads int, times ...time.Duration) result {
		r := result{Network: network, Threads: threads}
		for i, name := range []string{"scission", "onnxruntime", "tract"} {
			en := entry{Engine: name, Version: "1." + name[:1], Median: times[i], CPUs: 1}
			if times[i] == 0 {
				en.Error = "no Gemm\nbacktrace"
			} else {
				en.Ratio = float64(times[0]) / float64(times[i])
				en.Ready, en.First = 5*ms, 2*times[i]
				en.BaseRSS, en.PeakRSS = 10<<20, 110<<20
			}
			r.Engines = append(r.Engines, en)
		}
		return r
	}
	r := report{
		Machine:  machine{CPU: "Abacus", CPUs: 2, Flags: "fma", OS: "linux"},
		Protocol: protocol{Rounds: 7, Starts: 5, Others: 0.06},
		Results: []result{
			measured("resnet50", 1, 60*ms, 80*ms, 120*ms),
			measured("vgg16", 1, 90*ms, 270*ms, 0),
			measured("vgg16", 2, 50*ms, 200*ms, 0),
		},
	}
	r.Results[0].Engines[0].Deviation = 2e-6
	r.Results[0].Engines[1].CPUs = 1.9
	r.Results[1].Noisy = true
	r.Results[1].Rounds = rounds([3]float64{1, 1, 0.25})
	want := `Milliseconds a run, float32, batch 1; medians of 7 interleaved rounds. In parentheses scission's time divided by the engine's.

| network | threads | scission | onnxruntime | tract |
|---|--:|--:|--:|--:|
| resnet50 | 1 | 60.0 | 80.0 (0.75) | 120 (0.50) |
| vgg16 † | 1 | 90.0 | 270 (0.33) | – |
| vgg16 | 2 | 50.0 | 200 (0.25) | – |
| geometric mean | 1 | | (0.50) | (0.50) |
| geometric mean | 2 | | (0.25) | |
| largest deviation, of the largest output | | 2e-06 | 0e+00 | 0e+00 |

Cold start in milliseconds, medians of 5: from the process' start until the engine's library is loaded (for most with Python and NumPy) + from then until the first output.

| network | threads | scission | onnxruntime | tract |
|---|--:|--:|--:|--:|
| resnet50 | 1 | 5.00 + 120 | 5.00 + 160 | 5.00 + 240 |
| vgg16 † | 1 | 5.00 + 180 | 5.00 + 540 | – |
| vgg16 | 2 | 5.00 + 100 | 5.00 + 400 | – |

Peak resident memory of the engine's process in MiB (VmHWM, with mapped files): when the library is loaded + what the model adds.

| network | threads | scission | onnxruntime | tract |
|---|--:|--:|--:|--:|
| resnet50 | 1 | 10 + 100 | 10 + 100 | 10 + 100 |
| vgg16 † | 1 | 10 + 100 | 10 + 100 | – |
| vgg16 | 2 | 10 + 100 | 10 + 100 | – |

The outputs of all that was timed agree with onnxruntime's within rtol 0.001 and atol 1e-05.
Machine: Abacus, 2 CPUs (fma), linux. scission 1.s. onnxruntime 1.o. tract 1.t.

resnet50 (threads: 1): onnxruntime kept 1.9 CPUs busy.

vgg16: tract was not measured: no Gemm

† other processes took more than 6 % of the CPUs, up to 25 %, in some of the rounds.
`
	var got strings.Builder
	r.table(&got)
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	if err := r.complete(); err != nil {
		t.Errorf("%v, want no error for a gap of another engine", err)
	}
	r.Results[2].Engines[1].Error = "lost"
	if err := r.complete(); err == nil {
		t.Error("a gap of the reference is no error")
	}
}
