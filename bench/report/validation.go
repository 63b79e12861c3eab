package report

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"scission/split"
)

// ValidationVersion is the version field of a [Validation].
const ValidationVersion = "scission-validation/1"

// Validation says how predictions about one model came out when they were
// executed.
type Validation struct {
	Version string        `json:"version"`
	Model   split.Model   `json:"model"`
	Layers  int           `json:"layers"`
	Date    time.Time     `json:"date"`
	Machine split.Machine `json:"machine"`
	// Setting is all that was asked for, so that a result can be told from one
	// of other settings.
	Setting string `json:"setting"`
	// Emulated lists what is emulated; Links are the links as measured.
	Emulated []string `json:"emulated,omitempty"`
	Links    []string `json:"links"`
	// Rounds is how many rounds count, Repeats how many more were measured
	// because others used the machine.
	Rounds  int `json:"rounds"`
	Repeats int `json:"repeats"`
	// Others is the share of the processors, from 0 to 1, that other programs
	// had during the rounds that count, the largest of all; less than 0 where
	// the system does not tell. Disturbed says that it was too large in some.
	Others    float64 `json:"others"`
	Disturbed bool    `json:"disturbed"`

	Hosts      []Additivity  `json:"hosts"`
	Partitions []Execution   `json:"partitions"`
	Took       time.Duration `json:"took_ns"`
}

// Additivity compares, on one host, the sum of a model's layers with the model
// as a whole, both of the same rounds.
type Additivity struct {
	Host  string        `json:"host"`
	Sum   time.Duration `json:"sum_ns"`
	Whole time.Duration `json:"whole_ns"` // median of runs in which no layer was timed
	// Ratios has, of each pair of runs, the sum in one divided by the whole of
	// the other.
	Ratios []float64 `json:"ratios"`
}

// Error is the difference of the sum as a share of the whole, above 0 where the
// sum is larger: the median over pairs of runs that followed each other.
func (a Additivity) Error() float64 { return typical(a.Ratios) }

// Execution compares the prediction for a partition with its execution.
type Execution struct {
	Partition split.Partition `json:"partition"`
	Hops      int             `json:"hops"` // there and back
	Predicted time.Duration   `json:"predicted_ns"`
	Measured  time.Duration   `json:"measured_ns"` // median of Samples
	Samples   split.Samples   `json:"samples_ns"`
	// Computing is the part of Predicted that is computing.
	Computing time.Duration `json:"computing_ns"`
	// Ratios has, of each round, what its own profile predicts divided by the
	// median of its executions.
	Ratios []float64 `json:"ratios"`
}

// Error is the difference of the prediction as a share of the measured time,
// above 0 where the prediction is too long: the median over the rounds.
func (e Execution) Error() float64 { return typical(e.Ratios) }

// Ratio is the quotient of two times.
func Ratio(got, want time.Duration) float64 { return float64(got) / float64(max(want, 1)) }

// typical is the median of ratios, as a difference from 1; 0 if there are none.
func typical(ratios []float64) float64 {
	if len(ratios) == 0 {
		return 0
	}
	return middle(slices.Sorted(slices.Values(ratios))) - 1
}

// Errors sums up relative errors without their signs.
type Errors struct {
	Count  int     `json:"count"`
	Median float64 `json:"median"`
	P95    float64 `json:"p95"` // the smallest that at least 95 % do not exceed
	Worst  float64 `json:"worst"`
	// Bias is the median of the errors with their signs.
	Bias float64 `json:"bias"`
}

// SumUp sums up relative errors; there may be none.
func SumUp(errors []float64) Errors {
	e := Errors{Count: len(errors)}
	if e.Count == 0 {
		return e
	}
	signed := slices.Sorted(slices.Values(errors))
	e.Bias = middle(signed)
	sizes := make([]float64, len(errors))
	for i, x := range errors {
		sizes[i] = math.Abs(x)
	}
	slices.Sort(sizes)
	e.Median = middle(sizes)
	e.P95 = sizes[(95*len(sizes)+99)/100-1]
	e.Worst = sizes[len(sizes)-1]
	return e
}

// middle is the median of sorted numbers.
func middle(sorted []float64) float64 {
	return (sorted[len(sorted)/2] + sorted[(len(sorted)-1)/2]) / 2
}

// Additivity is the error of the sum of the network's layers: the median over
// the pairs of runs on all hosts, as a difference from 1.
func (v *Validation) Additivity() float64 {
	var all []float64
	for _, h := range v.Hosts {
		all = append(all, h.Ratios...)
	}
	return typical(all)
}

// AdditivityOfHosts sums up the additivity errors of the hosts, each of which
// has fewer runs.
func (v *Validation) AdditivityOfHosts() Errors {
	var errors []float64
	for _, h := range v.Hosts {
		errors = append(errors, h.Error())
	}
	return SumUp(errors)
}

// Prediction sums up the prediction errors of the partitions.
func (v *Validation) Prediction() Errors { return SumUp(v.predictions()) }

func (v *Validation) predictions() (errors []float64) {
	for _, p := range v.Partitions {
		errors = append(errors, p.Error())
	}
	return errors
}

// whole is the time of the model on the first host.
func (v *Validation) whole() time.Duration {
	if len(v.Hosts) == 0 {
		return 0
	}
	return v.Hosts[0].Whole
}

// load says what others used of the machine.
func (v *Validation) load() string {
	switch {
	case v.Others < 0:
		return "unknown"
	case v.Disturbed:
		return fmt.Sprintf("%.1f disturbed", 100*v.Others)
	}
	return fmt.Sprintf("%.1f", 100*v.Others)
}

// Totals are the errors of several validations together.
type Totals struct {
	Additivity Errors `json:"additivity"` // of the networks
	Prediction Errors `json:"prediction"`
	Disturbed  int    `json:"disturbed"` // of how many the rounds were disturbed
}

// Total sums validations up.
func Total(list []*Validation) Totals {
	var t Totals
	var sums, predictions []float64
	for _, v := range list {
		sums, predictions = append(sums, v.Additivity()), append(predictions, v.predictions()...)
		if v.Disturbed {
			t.Disturbed++
		}
	}
	t.Additivity, t.Prediction = SumUp(sums), SumUp(predictions)
	return t
}

// validationHeader names the columns of validationRows.
var validationHeader = []string{
	"network", "layers", "whole, ms", "sum of layers, %", "worst host, %",
	"partitions", "prediction: median, %", "p95, %", "worst, %", "bias, %", "rounds", "others, % CPU",
}

// validationRows is a row for each validation, and one for all together.
func validationRows(list []*Validation) [][]string {
	percent := func(x float64) string { return fmt.Sprintf("%.1f", 100*x) }
	signed := func(x float64) string { return fmt.Sprintf("%+.1f", 100*x) }
	figures := func(p Errors) []string {
		return []string{fmt.Sprint(p.Count), percent(p.Median), percent(p.P95), percent(p.Worst), signed(p.Bias)}
	}
	var rows [][]string
	for _, v := range list {
		row := []string{strings.TrimPrefix(v.Model.Name, "zoo:"), fmt.Sprint(v.Layers), ms(v.whole()), signed(v.Additivity()), percent(v.AdditivityOfHosts().Worst)}
		row = append(row, figures(v.Prediction())...)
		rounds := fmt.Sprint(v.Rounds)
		if v.Repeats > 0 {
			rounds += fmt.Sprintf(" of %d", v.Rounds+v.Repeats)
		}
		rows = append(rows, append(row, rounds, v.load()))
	}
	t := Total(list)
	sums := fmt.Sprintf("median %s, worst %s", percent(t.Additivity.Median), percent(t.Additivity.Worst))
	last := append([]string{"all", "", "", sums, ""}, figures(t.Prediction)...)
	return append(rows, append(last, "", fmt.Sprintf("%d disturbed", t.Disturbed)))
}

// WriteValidations writes the table of validations as text.
func WriteValidations(w io.Writer, list []*Validation) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, strings.Join(validationHeader, "\t")+"\t")
	for _, row := range validationRows(list) {
		fmt.Fprintln(t, strings.Join(row, "\t")+"\t")
	}
	return t.Flush()
}

// WriteMarkdown writes a shorter table of validations in Markdown.
func WriteMarkdown(w io.Writer, list []*Validation) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "| network | whole, ms | sum of layers | partitions | prediction, median error | 95th percentile | worst |")
	fmt.Fprintln(b, "|---|--:|--:|--:|--:|--:|--:|")
	line := func(name, whole, sum string, p Errors) {
		fmt.Fprintf(b, "| %s | %s | %s | %d | %.1f %% | %.1f %% | %.1f %% |\n", name, whole, sum, p.Count, 100*p.Median, 100*p.P95, 100*p.Worst)
	}
	for _, v := range list {
		name := strings.TrimPrefix(v.Model.Name, "zoo:")
		if v.Disturbed {
			name += " (disturbed)"
		}
		line(name, fmt.Sprintf("%.1f", milliseconds(v.whole())), fmt.Sprintf("%+.1f %%", 100*v.Additivity()), v.Prediction())
	}
	t := Total(list)
	line("all", "", fmt.Sprintf("median %.1f %%, worst %.1f %%", 100*t.Additivity.Median, 100*t.Additivity.Worst), t.Prediction)
	return b.Flush()
}

const validationNote = `Additivity is the sum of the layers, timed inside the whole model, against a run of the whole beside it in which no
layer is timed: the median over all pairs; on one host there are fewer of them. Prediction is the predicted time of a partition against the median of its executions through real
sockets, as a share of the measured time. Runs of the model and of all partitions alternate in rounds, and the
predictions are made from each round's own profile, the error being the median over the rounds: what is judged is the
model of the time, not how the machine's speed changed since a profile was taken. Others is the largest share of the processors that other programs had in a round that counts.`

// ValidationPage is a page about validations, with their figures.
func ValidationPage(list []*Validation) (*Page, error) {
	page := &Page{Title: "Predicted against measured", Validations: list}
	for _, v := range list {
		for _, e := range v.Emulated {
			if !slices.Contains(page.Emulated, e) {
				page.Emulated = append(page.Emulated, e)
			}
		}
	}
	for _, draw := range []func([]*Validation) (*Figure, error){Scatter, AdditivityBars} {
		f, err := draw(list)
		if err != nil {
			return nil, err
		}
		page.Figures = append(page.Figures, f)
	}
	return page, nil
}

// writeValidations writes the section about validations of an HTML page.
func writeValidations(w io.Writer, list []*Validation) {
	fmt.Fprintf(w, "<p>%s</p>\n<table>\n", html.EscapeString(validationNote))
	cells := func(list []string) (all []any) {
		for _, c := range list {
			all = append(all, c)
		}
		return all
	}
	row(w, "th", cells(validationHeader)...)
	for _, r := range validationRows(list) {
		row(w, "td", cells(r)...)
	}
	fmt.Fprint(w, "</table>\n")
	for _, v := range list {
		fmt.Fprintf(w, "<details><summary>%s: every partition</summary>\n<p>%s, %s, %d threads, %s. Links as measured: %s.</p>\n<table>\n",
			html.EscapeString(v.Model.Name), v.Date.Format(time.DateTime), html.EscapeString(v.Machine.CPU), v.Machine.Threads,
			html.EscapeString(v.Machine.ISA), html.EscapeString(strings.Join(v.Links, "; ")))
		row(w, "th", "partition", "hops", "predicted, ms", "of it computing, ms", "measured, ms", "error, %")
		for _, p := range v.Partitions {
			row(w, "td", p.Partition, p.Hops, ms(p.Predicted), ms(p.Computing), ms(p.Measured), fmt.Sprintf("%+.1f", 100*p.Error()))
		}
		for _, h := range v.Hosts {
			row(w, "td", "sum of layers on "+h.Host, 0, ms(h.Sum), ms(h.Sum), ms(h.Whole), fmt.Sprintf("%+.1f", 100*h.Error()))
		}
		fmt.Fprint(w, "</table>\n</details>\n")
	}
}
