package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"scission/bench/peers/worker"
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
	Rounds   int           `json:"rounds"`      // that count
	Extra    int           `json:"extra"`       // more rounds at most, to replace noisy ones
	Starts   int           `json:"starts"`      // cold starts
	Turn     time.Duration `json:"turn_ns"`     // an engine's turn lasts about this long
	Others   float64       `json:"others"`      // a round in which others take a larger share of the CPUs is noisy
	Warmup   time.Duration `json:"warmup_ns"`   // each engine runs at least this long before the first round
	Slowest  time.Duration `json:"slowest_ns"`  // an engine whose second run takes longer is not timed
	Patience time.Duration `json:"patience_ns"` // an engine that takes longer for an answer is given up
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
	Ratio     float64       `json:"ratio"`    // the subject's time divided by this engine's
	CPUs      float64       `json:"cpus"`     // that it kept busy in the rounds
	Ready     time.Duration `json:"ready_ns"` // of a cold start: from the process' start until the library is loaded
	First     time.Duration `json:"first_ns"` // of a cold start: from then until the first output; what a file in another form costs to make is left out
	BaseRSS   int64         `json:"base_rss"` // peak resident bytes when the library is loaded
	PeakRSS   int64         `json:"peak_rss"` // and at the end
}

// model is a network in files, with inputs.
type model struct {
	name   string
	path   string // of an ONNX file
	inputs []worker.File
	forms  map[string]form // by engine
}

// form is a network as an engine takes it.
type form struct {
	path string
	err  error // why it does not
}

// convert lets each engine write its own form of m, into folders in dir.
func (m *model) convert(ctx context.Context, engines []contender, dir string, patience time.Duration) error {
	m.forms = map[string]form{}
	for _, e := range engines {
		sub := filepath.Join(dir, e.name)
		if err := os.Mkdir(sub, 0o700); err != nil {
			return err
		}
		proc, err := start(ctx, e.command, patience)
		if err != nil {
			m.forms[e.name] = form{err: err}
			continue
		}
		answer, err := proc.call(worker.Request{Cmd: "convert", Model: m.path, Dir: sub})
		proc.stop()
		m.forms[e.name] = form{answer.Model, err}
	}
	return ctx.Err()
}

// measurement is a measurement under way.
type measurement struct {
	protocol
	ctx     context.Context
	model   model
	threads int
	res     result
	engines []contender
	procs   []*process // nil for engines that do not take part
}

// measure runs m in all engines, by turns. An engine that fails, or whose
// outputs differ from the reference's, is left out and says why in its entry.
// The first engine behind the subject that runs is taken for the reference.
func measure(ctx context.Context, engines []contender, m model, threads int, p protocol) (result, error) {
	ms := measurement{protocol: p, ctx: ctx, model: m, threads: threads, engines: engines, procs: make([]*process, len(engines)),
		res: result{Network: m.name, Threads: threads, Engines: make([]entry, len(engines))}}
	defer ms.stop()
	outputs := make([][]*tensor.Tensor, len(engines))
	for i, e := range engines {
		ms.res.Engines[i].Engine = e.name
		var err error
		if outputs[i], err = ms.begin(i); err != nil {
			ms.exclude(i, err)
		}
	}
	for i, err := range compare(ms.res.Engines, outputs) {
		if err != nil {
			ms.exclude(i, err)
		}
	}
	ms.coldStarts()
	for len(ms.live()) > 0 {
		i, err := ms.rounds()
		if err == nil {
			break
		}
		ms.exclude(i, err) // the others begin again, without it
	}
	if err := ctx.Err(); err != nil {
		return ms.res, err
	}
	ms.evaluate()
	return ms.res, nil
}

// live is the indices of the engines that take part.
func (ms *measurement) live() []int {
	var at []int
	for i, p := range ms.procs {
		if p != nil {
			at = append(at, i)
		}
	}
	return at
}

func (ms *measurement) exclude(i int, err error) {
	ms.res.Engines[i].Error = err.Error()
	if ms.procs[i] != nil {
		ms.procs[i].stop()
		ms.procs[i] = nil
	}
}

func (ms *measurement) stop() {
	for _, i := range ms.live() {
		ms.procs[i].stop()
	}
}

// begin starts engine i and returns its outputs.
func (ms *measurement) begin(i int) ([]*tensor.Tensor, error) {
	f := ms.model.forms[ms.engines[i].name]
	if f.err != nil {
		return nil, f.err
	}
	proc, err := start(ms.ctx, ms.engines[i].command, ms.Patience)
	if err != nil {
		return nil, err
	}
	ms.procs[i] = proc
	en := &ms.res.Engines[i]
	if en.Version, err = proc.hello(); err != nil {
		return nil, err
	}
	if en.BaseRSS, err = peakRSS(proc.pid()); err != nil {
		return nil, err
	}
	if err := proc.load(ms.model, f.path, ms.threads); err != nil {
		return nil, err
	}
	return proc.outputs()
}

// compare checks the outputs of all engines that have some against the first
// such engine behind the subject. It sets Deviation and returns what is wrong
// with each.
func compare(entries []entry, outputs [][]*tensor.Tensor) []error {
	errs := make([]error, len(entries))
	standard := 1
	for standard < len(entries) && entries[standard].Error != "" {
		standard++
	}
	if standard >= len(entries) {
		return errs
	}
	for i := range entries {
		if en := &entries[i]; en.Error == "" && i != standard {
			var err error
			if en.Deviation, err = deviation(outputs[i], outputs[standard]); err != nil {
				errs[i] = fmt.Errorf("outputs differ from %s's: %w", entries[standard].Engine, err)
			}
		}
	}
	return errs
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

// coldStarts starts each engine ms.Starts times in a new process, by turns. The
// files are in the page cache: they have just been read.
func (ms *measurement) coldStarts() {
	ready, first := make([][]time.Duration, len(ms.engines)), make([][]time.Duration, len(ms.engines))
	for range ms.Starts {
		for _, i := range ms.live() {
			r, f, err := ms.coldStart(i)
			if err != nil {
				ms.exclude(i, err)
				continue
			}
			ready[i], first[i] = append(ready[i], r), append(first[i], f)
		}
	}
	for _, i := range ms.live() {
		if ms.Starts > 0 {
			ms.res.Engines[i].Ready, ms.res.Engines[i].First = median(ready[i]), median(first[i])
		}
	}
}

func (ms *measurement) coldStart(i int) (ready, first time.Duration, err error) {
	time.Sleep(pause)
	begin := time.Now()
	proc, err := start(ms.ctx, ms.engines[i].command, ms.Patience)
	if err != nil {
		return 0, 0, err
	}
	defer proc.stop()
	if _, err := proc.hello(); err != nil {
		return 0, 0, err
	}
	ready = time.Since(begin)
	if err := proc.load(ms.model, ms.model.forms[ms.engines[i].name].path, ms.threads); err != nil {
		return 0, 0, err
	}
	if _, err := proc.run(1); err != nil {
		return 0, 0, err
	}
	return ready, time.Since(begin) - ready, nil
}

// rounds warms the engines up and gives them turns. It keeps the ms.Rounds
// quietest rounds. If an engine fails, it returns which.
func (ms *measurement) rounds() (failed int, err error) {
	live := ms.live()
	runs := make([]int, len(live))
	for at, i := range live {
		if runs[at], err = ms.warmUp(ms.procs[i]); err != nil {
			return i, err
		}
	}
	var rounds []round
	for quiet := 0; quiet < ms.Rounds && len(rounds) < ms.Rounds+ms.Extra; {
		var r round
		for at, i := range live {
			t, err := measureTurn(ms.procs[i], runs[at])
			if err != nil {
				return i, err
			}
			r = append(r, t)
		}
		rounds = append(rounds, r)
		if r.others() <= ms.Others {
			quiet++
		}
	}
	ms.res.Rounds = quietest(rounds, ms.Rounds)
	ms.res.Repeats = len(rounds) - len(ms.res.Rounds)
	for _, i := range live {
		if ms.res.Engines[i].PeakRSS, err = peakRSS(ms.procs[i].pid()); err != nil {
			return i, err
		}
	}
	return 0, nil
}

// warmUp runs the model for ms.Warmup and returns how many runs make a turn.
func (ms *measurement) warmUp(proc *process) (runs int, err error) {
	var last time.Duration
	for begin := time.Now(); last == 0 || time.Since(begin) < ms.Warmup; {
		samples, err := proc.run(1)
		if err != nil {
			return 0, err
		}
		if last = max(samples[0], 1); last > ms.Slowest {
			return 0, fmt.Errorf("a run takes %v, longer than %v", last.Round(100*time.Millisecond), ms.Slowest)
		}
	}
	return int((ms.Turn + last - 1) / last), nil
}

// measureTurn runs the model n times and notes what others did meanwhile, but
// for the processes beside it. An engine that does not rest after its turn counts
// as another.
func measureTurn(proc *process, n int, beside ...int) (turn, error) {
	time.Sleep(pause)
	pids := append([]int{proc.pid(), os.Getpid()}, beside...)
	before, err := loadOf(pids...)
	if err != nil {
		return turn{}, err
	}
	samples, err := proc.run(n)
	if err != nil {
		return turn{}, err
	}
	after, err := loadOf(pids...)
	if err != nil {
		return turn{}, err
	}
	return turn{samples, othersSince(before, after, runtime.NumCPU()), cpusSince(before, after)}, nil
}

// evaluate sets what follows from the rounds.
func (ms *measurement) evaluate() {
	res := &ms.res
	res.Noisy = slices.ContainsFunc(res.Rounds, func(r round) bool { return r.others() > ms.Others })
	live := ms.live()
	for at, i := range live {
		en := &res.Engines[i]
		en.Median = typical(res.Rounds, at)
		en.CPUs = cpus(res.Rounds, at)
		if live[0] == 0 {
			en.Ratio = ratio(res.Rounds, 0, at)
		}
	}
}
