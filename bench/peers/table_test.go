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
			en := entry{Engine: name, Version: "1." + name[:1], Median: times[i]}
			if times[i] == 0 {
				en.Error = "no Gemm"
			} else {
				en.Ratio = float64(times[0]) / float64(times[i])
			}
			r.Engines = append(r.Engines, en)
		}
		return r
	}
	r := report{
		Machine:  machine{CPU: "Abacus", CPUs: 2, Flags: "fma", OS: "linux"},
		Protocol: protocol{Rounds: 7, Others: 0.06},
		Results:  []result{measured("resnet50", 1, 60*ms, 80*ms, 120*ms), measured("vgg16", 1, 90*ms, 270*ms, 0)},
	}
	r.Results[0].Engines[0].Deviation = 2e-6
	r.Results[1].Noisy = true
	r.Results[1].Rounds = rounds([3]float64{1, 1, 0.25})
	want := `| network | threads | scission | onnxruntime | ratio | tract | ratio |
|---|--:|--:|--:|--:|--:|--:|
| resnet50 | 1 | 60.00 | 80.00 | 0.75 | 120.00 | 0.50 |
| vgg16 † | 1 | 90.00 | 270.00 | 0.33 | – | – |
| geometric mean | 1 | | | 0.50 | | 0.50 |

Milliseconds a run, float32; medians of 7 interleaved rounds. The ratio is scission's time divided by the other's.
The outputs of all that was timed agree within rtol 0.001 and atol 1e-05; the largest difference is 2e-06 of an output's largest element.
Machine: Abacus, 2 CPUs (fma), linux. scission 1.s. onnxruntime 1.o. tract 1.t.

vgg16 (threads: 1): tract was not measured: no Gemm

† other processes took more than 6 % of the CPUs, up to 25 %, in some of the rounds.
`
	var got strings.Builder
	r.table(&got)
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}
