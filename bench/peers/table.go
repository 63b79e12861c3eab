package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// report is what a run of this program found.
type report struct {
	Machine  machine  `json:"machine"`
	Protocol protocol `json:"protocol"`
	Results  []result `json:"results"`
}

// table writes the report as Markdown: a row for each network and number of
// threads, then the geometric means, then where the figures are from.
func (r report) table(w io.Writer) {
	var peers []string
	versions := map[string]string{}
	for _, res := range r.Results {
		for _, en := range res.Engines {
			if en.Version != "" {
				versions[en.Engine] = en.Version
			}
			if en.Engine != subject && !slices.Contains(peers, en.Engine) {
				peers = append(peers, en.Engine)
			}
		}
	}
	head, rule := "| network | threads | "+subject+" |", "|---|--:|--:|"
	for _, peer := range peers {
		head += " " + peer + " | ratio |"
		rule += "--:|--:|"
	}
	fmt.Fprintln(w, head)
	fmt.Fprintln(w, rule)
	var notes []string
	for _, res := range r.Results {
		name := res.Network
		if res.Noisy {
			name += " †"
		}
		fmt.Fprintf(w, "| %s | %d | %s |", name, res.Threads, milliseconds(res.of(subject).Median))
		for _, peer := range peers {
			en := res.of(peer)
			fmt.Fprintf(w, " %s | %s |", milliseconds(en.Median), quotient(en.Ratio))
		}
		fmt.Fprintln(w)
		for _, en := range res.Engines {
			if en.Error != "" {
				notes = append(notes, fmt.Sprintf("%s (threads: %d): %s was not measured: %s", res.Network, res.Threads, en.Engine, en.Error))
			}
		}
	}
	r.means(w, peers)
	fmt.Fprintln(w)
	fmt.Fprintf(w, "Milliseconds a run, float32; medians of %d interleaved rounds. The ratio is %s's time divided by the other's.\n", r.Protocol.Rounds, subject)
	fmt.Fprintf(w, "The outputs of all that was timed agree within rtol %g and atol %g; the largest difference is %.1g of an output's largest element.\n", rtol, atol, r.deviation())
	fmt.Fprintf(w, "Machine: %s, %d CPUs (%s), %s.", r.Machine.CPU, r.Machine.CPUs, r.Machine.Flags, r.Machine.OS)
	for _, name := range append([]string{subject}, peers...) {
		if v := versions[name]; v != "" {
			fmt.Fprintf(w, " %s %s.", name, v)
		}
	}
	fmt.Fprintln(w)
	if slices.ContainsFunc(r.Results, func(res result) bool { return res.Noisy }) {
		notes = append(notes, fmt.Sprintf("† other processes took more than %.0f %% of the CPUs, up to %.0f %%, in some of the rounds.", 100*r.Protocol.Others, 100*r.mostOthers()))
	}
	for _, note := range notes {
		fmt.Fprintf(w, "\n%s\n", note)
	}
}

// means writes a row with the geometric means of the ratios for each number of
// threads.
func (r report) means(w io.Writer, peers []string) {
	var threads []int
	for _, res := range r.Results {
		if !slices.Contains(threads, res.Threads) {
			threads = append(threads, res.Threads)
		}
	}
	for _, t := range threads {
		row, any := fmt.Sprintf("| geometric mean | %d | |", t), false
		for _, peer := range peers {
			var qs []float64
			for _, res := range r.Results {
				if q := res.of(peer).Ratio; res.Threads == t && q > 0 {
					qs = append(qs, q)
				}
			}
			if len(qs) == 0 {
				row += " | |"
				continue
			}
			any = true
			row += fmt.Sprintf(" | %s |", quotient(geomean(qs)))
		}
		if any {
			fmt.Fprintln(w, row)
		}
	}
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

// deviation is the largest deviation of any engine that was measured.
func (r report) deviation() float64 {
	most := 0.0
	for _, res := range r.Results {
		for _, en := range res.Engines {
			most = max(most, en.Deviation)
		}
	}
	return most
}

func milliseconds(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond))
}

func quotient(q float64) string {
	if q == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", q)
}
