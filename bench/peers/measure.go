package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"time"

	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// What is asked of the outputs of an engine, compared with those of another.
const (
	rtol = 1e-3
	atol = 1e-5
)

// pause lets worker threads that wait for work by spinning fall asleep before
// the next engine's turn.
const pause = 100 * time.Millisecond

// protocol says how to measure.
type protocol struct {
	Rounds int           `json:"rounds"`    // that count
	Extra  int           `json:"extra"`     // more rounds at most, to replace noisy ones
	Turn   time.Duration `json:"turn_ns"`   // an engine's turn lasts about this long
	Others float64       `json:"others"`    // a round in which others take a larger share of the CPUs is noisy
	Warmup time.Duration `json:"warmup_ns"` // each engine runs at least this long before the first round
}

// result is what came out for one network and number of threads.
type result struct {
	Network string  `json:"network"`
	Threads int     `json:"threads"`
	Engines []entry `json:"engines"` // the subject first
	Rounds  []round `json:"rounds"`  // those that count; turns are of the engines without Error, in their order
	Repeats int     `json:"repeats"` // rounds that were measured but do not count
	Noisy   bool    `json:"noisy"`   // some of Rounds are noisy all the same
}

// entry is an engine's part of a result.
type entry struct {
	Engine    string        `json:"engine"`
	Version   string        `json:"version"`
	Error     string        `json:"error,omitempty"` // why it was not measured
	Deviation float64       `json:"deviation"`       // largest difference of an output from the reference's, as part of its largest element
	Median    time.Duration `json:"median_ns"`
	Ratio     float64       `json:"ratio"` // the subject's time divided by this engine's
}

// model is a network in a file, with inputs.
type model struct {
	name   string
	path   string // of an ONNX file
	inputs []file
}

// measure runs m in all engines, by turns. An engine that fails, or whose
// outputs differ from the reference's, is left out and says why in its entry.
// The reference is the first engine behind the subject that runs.
func measure(ctx context.Context, engines []contender, m model, threads int, p protocol) (result, error) {
	res := result{Network: m.name, Threads: threads}
	procs := make([]*process, len(engines))
	outputs := make([][]*tensor.Tensor, len(engines))
	for i, e := range engines {
		en := entry{Engine: e.name}
		proc, err := start(ctx, e.command)
		if err == nil {
			defer proc.stop()
			procs[i] = proc
			var answer reply
			answer, err = proc.call(request{Cmd: "load", Model: m.path, Threads: threads, Inputs: m.inputs})
			en.Version = answer.Version
		}
		if err == nil {
			outputs[i], err = procs[i].outputs()
		}
		if err != nil {
			en.Error = err.Error()
		}
		res.Engines = append(res.Engines, en)
	}
	compare(res.Engines, outputs)

	var live []*process
	var entries []*entry
	for i := range engines {
		if res.Engines[i].Error == "" {
			live, entries = append(live, procs[i]), append(entries, &res.Engines[i])
		}
	}
	if len(live) == 0 {
		return res, ctx.Err()
	}
	var err error
	if res.Rounds, res.Repeats, err = p.measure(live); err != nil {
		return res, errors.Join(ctx.Err(), fmt.Errorf("%s, threads %d: %w", m.name, threads, err))
	}
	for _, r := range res.Rounds {
		res.Noisy = res.Noisy || r.others() > p.Others
	}
	for i, en := range entries {
		en.Median = typical(res.Rounds, i)
		if entries[0].Engine == subject {
			en.Ratio = ratio(res.Rounds, 0, i)
		}
	}
	return res, nil
}

// compare checks the outputs of all engines that have some against the first
// such engine behind the subject, and sets Deviation and Error.
func compare(entries []entry, outputs [][]*tensor.Tensor) {
	reference := -1
	for i := 1; i < len(entries) && reference < 0; i++ {
		if entries[i].Error == "" {
			reference = i
		}
	}
	for i := range entries {
		if en := &entries[i]; en.Error == "" && reference >= 0 && i != reference {
			var err error
			if en.Deviation, err = deviation(outputs[i], outputs[reference]); err != nil {
				en.Error = fmt.Sprintf("outputs differ from %s's: %v", entries[reference].Engine, err)
			}
		}
	}
}

// deviation is the largest difference between elements of got and want, as
// part of the largest element of the output in want. It is an error if they
// differ by more than rtol and atol allow.
func deviation(got, want []*tensor.Tensor) (float64, error) {
	if len(got) != len(want) {
		return 0, fmt.Errorf("got %d outputs, want %d", len(got), len(want))
	}
	worst := 0.0
	for i := range want {
		if err := tensortest.Diff(got[i], want[i], rtol, atol); err != nil {
			return 0, fmt.Errorf("output %d: %w", i, err)
		}
		far, large := 0.0, 0.0
		for j := range want[i].Shape.Elems() {
			w := tensortest.At(want[i], j)
			large = max(large, math.Abs(w))
			far = max(far, math.Abs(tensortest.At(got[i], j)-w))
		}
		if large > 0 {
			worst = max(worst, far/large)
		}
	}
	return worst, nil
}

// measure warms the processes up and gives them turns. It returns the p.Rounds
// quietest rounds and how many more there were.
func (p protocol) measure(procs []*process) (kept []round, repeats int, err error) {
	runs := make([]int, len(procs))
	for i, proc := range procs {
		if runs[i], err = p.warmUp(proc); err != nil {
			return nil, 0, err
		}
	}
	var rounds []round
	for quiet := 0; quiet < p.Rounds && len(rounds) < p.Rounds+p.Extra; {
		var r round
		for i, proc := range procs {
			t, err := measureTurn(proc, runs[i])
			if err != nil {
				return nil, 0, err
			}
			r = append(r, t)
		}
		rounds = append(rounds, r)
		if r.others() <= p.Others {
			quiet++
		}
	}
	kept = quietest(rounds, p.Rounds)
	return kept, len(rounds) - len(kept), nil
}

// warmUp runs the model for p.Warmup and returns how many runs make a turn.
func (p protocol) warmUp(proc *process) (runs int, err error) {
	var last time.Duration
	for begin := time.Now(); last == 0 || time.Since(begin) < p.Warmup; {
		samples, err := proc.run(1)
		if err != nil {
			return 0, err
		}
		last = max(samples[0], 1)
	}
	return int((p.Turn + last - 1) / last), nil
}

// measureTurn runs the model n times and notes what others did meanwhile. An
// engine that does not rest after its turn counts as another.
func measureTurn(proc *process, n int) (turn, error) {
	time.Sleep(pause)
	before, err := loadOf(proc.pid(), os.Getpid())
	if err != nil {
		return turn{}, err
	}
	samples, err := proc.run(n)
	if err != nil {
		return turn{}, err
	}
	after, err := loadOf(proc.pid(), os.Getpid())
	if err != nil {
		return turn{}, err
	}
	return turn{samples, othersSince(before, after, runtime.NumCPU())}, nil
}
