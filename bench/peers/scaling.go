package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// scalingReport is how the subject's time depends on its threads, and on a
// process that takes a CPU.
type scalingReport struct {
	Machine  machine   `json:"machine"`
	Protocol protocol  `json:"protocol"`
	Few      int       `json:"few"` // threads
	Many     int       `json:"many"`
	Results  []scaling `json:"results"`
}

// scaling is what came out for one network.
type scaling struct {
	Network string  `json:"network"`
	Rounds  []round `json:"rounds"` // those that count, with a turn for each of the constants below
	Noisy   bool    `json:"noisy"`  // some of Rounds are noisy all the same
}

// The turns of a round.
const (
	few    = iota // threads, alone
	many          // threads, alone
	roving        // many, beside a process that takes a CPU
	fixed         // many, beside one that stays on one CPU, round by round another
	turns
)

// add measures a network with the fewest and the most of the given threads.
func (r *scalingReport) add(ctx context.Context, c contender, network, dir string, threads []int) error {
	r.Few, r.Many = slices.Min(threads), slices.Max(threads)
	sub, err := os.MkdirTemp(dir, "model-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(sub)
	m, err := prepare(network, sub)
	if err != nil {
		return err
	}
	begin := time.Now()
	s, err := measureScaling(ctx, c, m, r.Few, r.Many, r.Protocol)
	if err != nil {
		return err
	}
	r.Results = append(r.Results, s)
	fmt.Fprintf(os.Stderr, "%s: %v\n", s.Network, time.Since(begin).Round(time.Second))
	return nil
}

// measureScaling measures the turns of m's rounds, and keeps the quietest.
func measureScaling(ctx context.Context, c contender, m model, least, most int, p protocol) (scaling, error) {
	var procs [turns]*process
	var runs [turns]int
	ms := measurement{protocol: p}
	for i, threads := range map[int]int{few: least, many: most} {
		proc, err := start(ctx, c.command, p.Patience)
		if err != nil {
			return scaling{}, err
		}
		defer proc.stop()
		if err := proc.load(m, m.path, threads); err != nil {
			return scaling{}, err
		}
		procs[i] = proc
		if runs[i], err = ms.warmUp(proc); err != nil {
			return scaling{}, err
		}
	}
	for i := range turns {
		if procs[i] == nil {
			procs[i], runs[i] = procs[many], runs[many]
		}
	}
	var rounds []round
	for quiet := 0; quiet < p.Rounds && len(rounds) < p.Rounds+p.Extra; {
		var r round
		for i := range turns {
			t, err := scalingTurn(ctx, procs[i], runs[i], i, strconv.Itoa(len(rounds)%runtime.NumCPU()))
			if err != nil {
				return scaling{}, err
			}
			r = append(r, t)
		}
		rounds = append(rounds, r)
		if r.others() <= p.Others {
			quiet++
		}
	}
	rounds = quietest(rounds, p.Rounds)
	noisy := func(r round) bool { return r.others() > p.Others }
	return scaling{m.name, rounds, slices.ContainsFunc(rounds, noisy)}, nil
}

// scalingTurn is turn i of a round, which keeps the busy process on cpu if it is
// to stay on one.
func scalingTurn(ctx context.Context, proc *process, runs, i int, cpu string) (turn, error) {
	where := map[int]string{roving: anywhere, fixed: cpu}[i]
	if where == "" {
		return measureTurn(proc, runs)
	}
	b, err := startBusy(ctx, where)
	if err != nil {
		return turn{}, err
	}
	t, err := measureTurn(proc, runs, b.cmd.Process.Pid)
	if stopped := b.stop(); err == nil {
		err = stopped
	}
	return t, err
}

// table writes the report as Markdown.
func (r scalingReport) table(w io.Writer) {
	fmt.Fprintf(w, "Milliseconds a run of %s, float32, batch 1; medians of %d interleaved rounds. In parentheses, of the same round: how many times as fast as with threads: %d, and beside a process that takes a CPU, how many times as long.\n\n", subject, r.Protocol.Rounds, r.Few)
	fmt.Fprintf(w, "| network | threads: %d | threads: %d | beside a busy process | beside one that stays on a CPU |\n|---|--:|--:|--:|--:|\n", r.Few, r.Many)
	for _, s := range r.Results {
		mark := ""
		if s.Noisy {
			mark = " †"
		}
		fmt.Fprintf(w, "| %s%s | %s | %s (%.2f) |", s.Network, mark, milliseconds(typical(s.Rounds, few)), milliseconds(typical(s.Rounds, many)), ratio(s.Rounds, few, many))
		for _, i := range []int{roving, fixed} {
			fmt.Fprintf(w, " %s (%.2f) |", milliseconds(typical(s.Rounds, i)), ratio(s.Rounds, i, few))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "\nMachine: %s, %d CPUs (%s), %s.\n", r.Machine.CPU, r.Machine.CPUs, r.Machine.Flags, r.Machine.OS)
	if slices.ContainsFunc(r.Results, func(s scaling) bool { return s.Noisy }) {
		fmt.Fprintf(w, "\n† other processes took more than %.0f %% of the CPUs in some of the rounds.\n", 100*r.Protocol.Others)
	}
}
