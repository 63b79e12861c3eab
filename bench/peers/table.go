package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// report is what a run of this program found.
type report struct {
	Machine  machine  `json:"machine"`
	Protocol protocol `json:"protocol"`
	Results  []result `json:"results"`
}

// missing stands where nothing was measured.
const missing = "–"

// table writes the report as Markdown: a table each of the times of a run, cold
// starts and memory, with a row for each network and number of threads, then
// where the figures are from.
func (r report) table(w io.Writer) {
	fmt.Fprintf(w, "Milliseconds a run, float32, batch 1; medians of %d interleaved rounds. In parentheses %s's time divided by the engine's.\n\n", r.Protocol.Rounds, subject)
	r.grid(w, func(en entry) string {
		if en.Engine == subject {
			return milliseconds(en.Median)
		}
		return milliseconds(en.Median) + " (" + quotient(en.Ratio) + ")"
	})
	r.means(w)
	if r.Protocol.Starts > 0 {
		fmt.Fprintf(w, "\nCold start in milliseconds, medians of %d: from the process' start until the engine's library is loaded (for most with Python and NumPy) + from then until the first output.\n\n", r.Protocol.Starts)
		r.grid(w, func(en entry) string { return milliseconds(en.Ready) + " + " + milliseconds(en.First) })
	}
	fmt.Fprintf(w, "\nPeak resident memory of the engine's process in MiB (VmHWM, with mapped files): when the library is loaded + what the model adds.\n\n")
	r.grid(w, func(en entry) string {
		return fmt.Sprintf("%d + %d", mebibytes(en.BaseRSS), mebibytes(en.PeakRSS-en.BaseRSS))
	})

	fmt.Fprintf(w, "\nThe outputs of all that was timed agree with %s's within rtol %g and atol %g.\n", reference, rtol, atol)
	fmt.Fprintf(w, "Machine: %s, %d CPUs (%s), %s.", r.Machine.CPU, r.Machine.CPUs, r.Machine.Flags, r.Machine.OS)
	for _, name := range r.engines() {
		if i := slices.IndexFunc(r.Results, func(res result) bool { return res.of(name).Version != "" }); i >= 0 {
			fmt.Fprintf(w, " %s %s.", name, r.Results[i].of(name).Version)
		}
	}
	fmt.Fprintln(w)
	for _, note := range r.notes() {
		fmt.Fprintf(w, "\n%s\n", note)
	}
}

// grid writes a table with a column for each engine.
func (r report) grid(w io.Writer, cell func(entry) string) {
	names := r.engines()
	fmt.Fprintf(w, "| network | threads | %s |\n", strings.Join(names, " | "))
	fmt.Fprintf(w, "|---|%s\n", strings.Repeat("--:|", 1+len(names)))
	for _, res := range r.Results {
		mark := ""
		if res.Noisy {
			mark = " †"
		}
		fmt.Fprintf(w, "| %s%s | %d |", res.Network, mark, res.Threads)
		for _, name := range names {
			if en := res.of(name); en.Median > 0 {
				fmt.Fprintf(w, " %s |", cell(en))
			} else {
				fmt.Fprintf(w, " %s |", missing)
			}
		}
		fmt.Fprintln(w)
	}
}

// means writes rows for grid with the geometric means of the ratios for each
// number of threads, and with the largest deviations.
func (r report) means(w io.Writer) {
	var threads []int
	for _, res := range r.Results {
		if !slices.Contains(threads, res.Threads) {
			threads = append(threads, res.Threads)
		}
	}
	for _, t := range threads {
		fmt.Fprintf(w, "| geometric mean | %d | |", t)
		for _, name := range r.engines()[1:] {
			var qs []float64
			for _, res := range r.Results {
				if q := res.of(name).Ratio; res.Threads == t && q > 0 {
					qs = append(qs, q)
				}
			}
			if len(qs) == 0 {
				fmt.Fprint(w, " |")
				continue
			}
			fmt.Fprintf(w, " (%s) |", quotient(geomean(qs)))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "| largest deviation, of the largest output | |")
	for _, name := range r.engines() {
		most, cell := 0.0, missing
		for _, res := range r.Results {
			if en := res.of(name); en.Median > 0 {
				most = max(most, en.Deviation)
				cell = fmt.Sprintf("%.0e", most)
			}
		}
		fmt.Fprintf(w, " %s |", cell)
	}
	fmt.Fprintln(w)
}

// spare is the part of a CPU that an engine may keep busy beyond its threads
// without a note: reading of clocks, and of tasks that the system gives it.
const spare = 0.1

// notes says what was not measured, and what to mind about the rest. What is
// true of all numbers of threads is said once.
func (r report) notes() []string {
	var notes []string
	note := func(format string, args ...any) {
		if n := fmt.Sprintf(format, args...); !slices.Contains(notes, n) {
			notes = append(notes, n)
		}
	}
	for _, res := range r.Results {
		for _, en := range res.Engines {
			if en.Error != "" {
				same := true
				for _, other := range r.Results {
					same = same && (other.Network != res.Network || other.of(en.Engine).Error == en.Error)
				}
				threads := ""
				if !same {
					threads = fmt.Sprintf(" (threads: %d)", res.Threads)
				}
				reason, _, _ := strings.Cut(strings.TrimSpace(en.Error), "\n")
				note("%s%s: %s was not measured: %s", res.Network, threads, en.Engine, reason)
			} else if en.CPUs > float64(res.Threads)+spare {
				note("%s (threads: %d): %s kept %.1f CPUs busy.", res.Network, res.Threads, en.Engine, en.CPUs)
			}
		}
	}
	if slices.ContainsFunc(r.Results, func(res result) bool { return res.Noisy }) {
		note("† other processes took more than %.0f %% of the CPUs, up to %.0f %%, in some of the rounds.", 100*r.Protocol.Others, 100*r.mostOthers())
	}
	return notes
}

// engines lists the engines of the results, the subject first.
func (r report) engines() []string {
	var names []string
	for _, res := range r.Results {
		for _, en := range res.Engines {
			if !slices.Contains(names, en.Engine) {
				names = append(names, en.Engine)
			}
		}
	}
	return names
}

// of returns the entry of an engine, which is zero if it took no part.
func (r result) of(name string) entry {
	for _, en := range r.Engines {
		if en.Engine == name {
			return en
		}
	}
	return entry{}
}

// mostOthers is the largest share of the CPUs that others took in any round
// that counts.
func (r report) mostOthers() float64 {
	most := 0.0
	for _, res := range r.Results {
		for _, round := range res.Rounds {
			most = max(most, round.others())
		}
	}
	return most
}

// milliseconds writes d with at least three digits that count.
func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms >= 1000 {
		return fmt.Sprintf("%.0f", ms)
	}
	return fmt.Sprintf("%.*f", max(0, 3-len(fmt.Sprintf("%.0f", ms))), ms)
}

// quotient writes q with two decimals, or one digit that counts where it is small.
func quotient(q float64) string {
	const small = 0.05
	if q < small {
		return fmt.Sprintf("%.1g", q)
	}
	return fmt.Sprintf("%.2f", q)
}

// mebibytes rounds.
func mebibytes(n int64) int64 { return (n + 1<<19) >> 20 }
