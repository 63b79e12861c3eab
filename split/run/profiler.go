package run

import (
	"fmt"

	"scission/split"
)

// AddRuns adds to a profile what Measure saw of runs of the whole model on the
// profile's host: of runs with the times of layers each layer's, of the others
// the time of the whole. A profile that grows by a few runs at a time, between
// other work, sees the machine in the same states as that work does.
func AddRuns(p *split.Profile, samples []Sample) error {
	for _, s := range samples {
		for _, span := range s.Spans {
			if span.What != Compute || span.Host != p.Host {
				continue
			}
			if len(span.Layers) == 0 {
				p.Whole = append(p.Whole, span.Took)
				continue
			}
			if len(span.Layers) != len(p.Layers) {
				return fmt.Errorf("run: host %s: got times of %d layers, want %d", p.Host, len(span.Layers), len(p.Layers))
			}
			for i, took := range span.Layers {
				p.Layers[i].Samples = append(p.Layers[i].Samples, took)
			}
		}
	}
	return nil
}
