package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"scission/split"
)

// compareReport is what "scission compare" finds.
type compareReport struct {
	Model    string           `json:"model"`
	Input    string           `json:"input"`
	Machine  split.Machine    `json:"machine"`
	Emulated []string         `json:"emulated"`
	Lossy    []string         `json:"lossy,omitempty"` // codecs that only the second contest over a link allows
	Others   float64          `json:"others"`          // the share of the processors that other programs had, -1 if it is not known
	Took     time.Duration    `json:"took_ns"`
	Links    []linkComparison `json:"links"`
}

// linkComparison is what was run over one link.
type linkComparison struct {
	Mbit     float64       `json:"mbit"`
	Latency  time.Duration `json:"latency_ns"` // one way
	There    linkSpeed     `json:"there"`      // as measured
	Back     linkSpeed     `json:"back"`
	Rounds   int           `json:"rounds"`
	Contests []contest     `json:"contests"`
	Runs     []timedRun    `json:"runs"` // all of them, the fastest first
	Took     time.Duration `json:"took_ns"`
}

// timedRun is how one way to run the model did over one link.
type timedRun struct {
	Partition split.Partition `json:"partition"`
	Codecs    []string        `json:"codecs,omitempty"` // of the hops
	Lossy     bool            `json:"lossy,omitempty"`
	Wire      int64           `json:"wire_bytes"`
	Predicted time.Duration   `json:"predicted_ns"`
	// Least is what the link needs for the bytes alone. If Once is 0 that was
	// longer than another run took altogether, so that this was not run.
	Least time.Duration `json:"least_ns"`
	Once  time.Duration `json:"once_ns,omitempty"`
	// Rounds are of the rounds in which the fastest ran by turns, the i-th of all
	// that have one in the same.
	Rounds split.Samples `json:"rounds_ns,omitempty"`
}

// took is the best that is known of the run's time.
func (r *timedRun) took() time.Duration {
	if len(r.Rounds) > 0 {
		return r.Rounds.Median()
	}
	return cmp.Or(r.Once, r.Least)
}

// compare orders runs: what ran in more rounds is before what ran in fewer, what
// ran once before what did not, and what took less before what took more.
func (r *timedRun) compare(x *timedRun) int {
	return cmp.Or(
		cmp.Compare(len(x.Rounds), len(r.Rounds)),
		cmp.Compare(min(x.Once, 1), min(r.Once, 1)),
		cmp.Compare(r.took(), x.took()),
	)
}

// same says whether two runs are the same choice: they compute at the same
// places, and send the same there.
func (r *timedRun) same(x *timedRun) bool {
	return r.Partition.String() == x.Partition.String() && (len(r.Codecs) == 0 || r.Codecs[0] == x.Codecs[0])
}

// String is the time for people: in parentheses where it is of a single run.
func (r *timedRun) String() string {
	switch t := fmt.Sprintf("%.1f ms", float64(r.took())/1e6); {
	case len(r.Rounds) > 0:
		return t
	case r.Once > 0:
		return "(" + t + ")"
	default:
		return "> " + t
	}
}

// where says for people how the model is spread, and with which codec the first
// hop sends.
func (r *timedRun) where() string {
	if len(r.Codecs) == 0 {
		return "all on " + r.Partition[0].Host
	}
	if r.Partition.Native() {
		return fmt.Sprintf("all on %s, %s", r.Partition[0].Host, r.Codecs[0])
	}
	var cuts []string
	for _, s := range r.Partition[1:] {
		cuts = append(cuts, fmt.Sprint(s.Segment.From))
	}
	return fmt.Sprintf("cut at %s, %s", strings.Join(cuts, " and "), r.Codecs[0])
}

// verdicts say who was faster.
const (
	wins  = "wins"
	ties  = "ties"
	loses = "loses"
)

// contest is the run that the planner chooses against those that it rejects.
type contest struct {
	Lossy    bool     `json:"lossy"` // lossy codecs are allowed
	Chosen   timedRun `json:"chosen"`
	Rejected timedRun `json:"rejected"` // the fastest of the others
	// Ratio is Chosen's time divided by Rejected's, the median over the rounds,
	// which lies between From and To with tieConfidence. If 1 does, the two tie.
	Ratio   float64 `json:"ratio"`
	From    float64 `json:"ratio_from"`
	To      float64 `json:"ratio_to"`
	Verdict string  `json:"verdict"`
	// Device and Edge are everything on one host, with the codec that was
	// fastest.
	Device timedRun `json:"device"`
	Edge   timedRun `json:"edge"`
	// Others counts the runs that were rejected, Repeated those of them in the
	// rounds, OutOfReach those whose bytes alone took too long.
	Others     int `json:"others"`
	Repeated   int `json:"repeated"`
	OutOfReach int `json:"out_of_reach"`
}

// tieConfidence is how sure it must be that the median ratio is not 1.
const tieConfidence = 0.95

// judge compares Chosen with Rejected.
func (c *contest) judge() {
	var ratios []float64
	for i := range min(len(c.Chosen.Rounds), len(c.Rejected.Rounds)) {
		ratios = append(ratios, float64(c.Chosen.Rounds[i])/float64(c.Rejected.Rounds[i]))
	}
	slices.Sort(ratios)
	n := len(ratios)
	c.Ratio = (ratios[(n-1)/2] + ratios[n/2]) / 2
	out := outside(n)
	c.From, c.To = ratios[out], ratios[n-1-out]
	switch {
	case n < minCompared || c.From <= 1 && c.To >= 1:
		c.Verdict = ties
	case c.To < 1:
		c.Verdict = wins
	default:
		c.Verdict = loses
	}
}

// outside is how many of n samples are to be left out at either end for the
// rest to span the median with tieConfidence, whatever the distribution is
// like: each sample is above the median or below it as a coin falls.
func outside(n int) int {
	chance := math.Exp2(-float64(n)) // that exactly so many are below the median
	sum, out := chance, 0
	for sum <= (1-tieConfidence)/2 && out < n/2 {
		out++
		chance *= float64(n-out+1) / float64(out)
		sum += chance
	}
	return max(out-1, 0)
}

// String is the verdict for people.
func (c *contest) String() string {
	return fmt.Sprintf("%s, %+.1f %% (%+.1f to %+.1f)", c.Verdict, 100*(c.Ratio-1), 100*(c.From-1), 100*(c.To-1))
}

func (r compareReport) print(w io.Writer) {
	fmt.Fprintf(w, "%s, input %s; %s, %s kernels, threads %d\n", r.Model, r.Input, r.Machine.CPU, r.Machine.ISA, r.Machine.Threads)
	for _, e := range r.Emulated {
		fmt.Fprintln(w, "emulated:", e)
	}
	for i := range r.Links[0].Contests {
		if i == 0 {
			title(w, "lossless codecs")
		} else {
			title(w, "lossy codecs allowed: %s", strings.Join(r.Lossy, ", "))
		}
		table(w, "Mbit/s\tchosen\tpredicted\tmeasured\tfastest rejected\tmeasured\tthe choice\tall on device\tall on edge\tothers\tran\trounds", func(row func(...any)) {
			for _, l := range r.Links {
				c := &l.Contests[i]
				row(l.Mbit, c.Chosen.where(), fmt.Sprintf("%.1f ms", float64(c.Chosen.Predicted)/1e6), &c.Chosen, c.Rejected.where(), &c.Rejected, c,
					&c.Device, &c.Edge, c.Others, c.Others-c.OutOfReach, len(c.Chosen.Rounds))
			}
		})
		counts := map[string]int{}
		for _, l := range r.Links {
			counts[l.Contests[i].Verdict]++
		}
		fmt.Fprintf(w, "over %d links the choice %s %d times, %s %d times and %s %d times\n", len(r.Links), wins, counts[wins], ties, counts[ties], loses, counts[loses])
	}
	var spent []string
	for _, l := range r.Links {
		spent = append(spent, fmt.Sprintf("%.0f s at %g", l.Took.Seconds(), l.Mbit))
	}
	fmt.Fprintf(w, `
The choice is in per cent of the time of the fastest rejected, with the 95 %% confidence interval of the median.
In parentheses: run once. Others that did not run are out of reach: the link needs longer for their bytes alone.
%s: %s Mbit/s, the rest for profiles and opening
`, seconds(r.Took), strings.Join(spent, ", "))
	if r.Others != unknownLoad {
		fmt.Fprintf(w, "other programs had %.0f %% of the processors\n", 100*r.Others)
	}
}
