package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// outputReport is what is shown of an output.
type outputReport struct {
	Name  string       `json:"name"`
	DType string       `json:"dtype"`
	Shape tensor.Shape `json:"shape"`
	Input string       `json:"input,omitempty"` // the files of this run, of several
	File  string       `json:"file,omitempty"`
	Min   float64      `json:"min"`
	Max   float64      `json:"max"`
	Mean  float64      `json:"mean"`
	// Probabilities says what those of the classes are; empty if there are none.
	Probabilities probabilities `json:"probabilities,omitempty"`
	// Top are the largest elements of a vector, Rows those of each of several.
	Top  []topElement `json:"top,omitempty"`
	Rows []rowReport  `json:"rows,omitempty"`
}

// rowReport is one vector of a batch.
type rowReport struct {
	Input string       `json:"input"` // its file, or its number
	Top   []topElement `json:"top"`
}

type topElement struct {
	Index       int      `json:"index"` // in the vector
	Value       float64  `json:"value"`
	Label       string   `json:"label,omitempty"`
	Probability *float64 `json:"probability,omitempty"`
}

// probabilities says how the probabilities of classes follow from an output.
type probabilities string

const (
	asTheyAre probabilities = "output"  // the output is a probability distribution
	bySoftmax probabilities = "softmax" // of the output
	ofSigmoid probabilities = "sigmoid" // the output is one: each class has a probability of its own
)

// explain says it to people.
func (p probabilities) explain() string {
	switch p {
	case asTheyAre:
		return "the output is a probability distribution; no softmax was applied"
	case bySoftmax:
		return "probabilities are the softmax of the output, which is none itself"
	case ofSigmoid:
		return "the output is a sigmoid: each class has a probability of its own"
	}
	return ""
}

// defaultTop is how many of the largest elements are shown of a vector, maxTop
// how many may be.
const (
	defaultTop = 5
	maxTop     = 1000
)

// outputFlags say what becomes of the outputs.
type outputFlags struct {
	dir    string
	labels string
	top    int
}

func (o *outputFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.dir, "output", "", "write the outputs into folder `DIR`, with several runs into a folder there for each")
	c.Flags().StringVar(&o.labels, "labels", "", "`FILE` of the classes' names: one a line, or JSON")
	c.Flags().IntVar(&o.top, "top", defaultTop, "how many of the largest elements to show of a vector")
	c.MarkFlagFilename("labels", "txt", "json")
	c.MarkFlagDirname("output")
}

// outputHelp explains what is shown.
const outputHelp = `Of outputs that are vectors the largest elements are shown. With --labels, or labels
beside the model, they are classes with names and probabilities: the output's
numbers where they sum up to one or are a sigmoid, and their softmax otherwise;
which of these is said. Labels must be as many as classes.`

// reporter writes and describes outputs.
type reporter struct {
	outputFlags
	feed   *feed
	names  []string // of classes
	source string   // of names
}

func (o outputFlags) reporter(x *feed) (*reporter, error) {
	if o.top < 0 || o.top > maxTop {
		return nil, usagef("--top %d, want 0 to %d", o.top, maxTop)
	}
	r := &reporter{outputFlags: o, feed: x, source: cmp.Or(o.labels, x.sidecar.labels())}
	if r.source == "" {
		return r, nil
	}
	var err error
	r.names, err = readLabels(r.source)
	return r, err
}

// report describes the outputs of run i, and writes them if a folder is given.
func (r *reporter) report(g *graph.Graph, in, out []*tensor.Tensor, i int) ([]outputReport, error) {
	dir, title := r.dir, ""
	if r.feed.runs > 1 {
		title = r.feed.title(i)
		if dir != "" {
			name := filepath.Base(title)
			dir = filepath.Join(dir, fmt.Sprintf("%d-%s", i+1, safeName(strings.TrimSuffix(name, filepath.Ext(name)))))
		}
	}
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	batch := 0
	if len(in) > 0 && len(in[0].Shape) > 0 {
		batch = in[0].Shape[0]
	}
	var reports []outputReport
	var counts []string
	named := false
	for k, t := range out {
		o := describeOutput(g.Outputs[k].Name, t)
		o.Input = title
		if rows, classes := vectors(t.Shape, batch); rows > 0 {
			labels := r.names
			if len(labels) != classes {
				labels = nil
			}
			named = named || labels != nil
			counts = append(counts, fmt.Sprintf("%q has %d", o.Name, classes))
			o.classify(t, rows, labels, r.top, isSigmoid(g, g.Outputs[k]), r.feed.rows())
		}
		if dir != "" {
			path, err := writeTensor(dir, o.Name, t)
			if err != nil {
				return nil, err
			}
			o.File = path
		}
		reports = append(reports, o)
	}
	if r.names != nil && !named {
		return nil, usagef("%s has %d labels, but no output has as many classes: %s", r.source, len(r.names), cmp.Or(strings.Join(counts, ", "), "none is a vector"))
	}
	return reports, nil
}

// describeOutput describes what all outputs have.
func describeOutput(name string, t *tensor.Tensor) outputReport {
	r := outputReport{Name: name, DType: t.DType.String(), Shape: t.Shape}
	n := t.Shape.Elems()
	if n == 0 {
		return r
	}
	r.Min, r.Max = math.MaxFloat64, -math.MaxFloat64
	for i := range n {
		v := finite(tensortest.At(t, i))
		r.Min, r.Max, r.Mean = min(r.Min, v), max(r.Max, v), r.Mean+v/float64(n)
	}
	r.Mean = finite(r.Mean) // it may be rounded up
	return r
}

// finite is v, or the largest number in place of one that JSON does not have.
func finite(v float64) float64 {
	if math.IsNaN(v) {
		return math.Copysign(math.MaxFloat64, v)
	}
	return min(max(v, -math.MaxFloat64), math.MaxFloat64)
}

// vectors says how many vectors of how many elements, at least two, an output
// is: one, or one for each of the batch that went in. All dimensions but the
// batch's and one are 1. No rows mean that it is something else.
func vectors(s tensor.Shape, batch int) (rows, elems int) {
	n := s.Elems()
	switch k := len(s); {
	case n < 2:
		return 0, 0
	case s[k-1] == n, k > 1 && s[1] == n:
		return 1, n
	case k > 1 && s[0] == batch && (s[1] == n/batch || s[k-1] == n/batch) && n > batch:
		return batch, n / batch
	}
	return 0, 0
}

// classify finds the largest elements of each row, and what they mean if there
// are labels. files name the rows.
func (o *outputReport) classify(t *tensor.Tensor, rows int, labels []string, top int, sigmoid bool, files []string) {
	values := make([][]float64, rows)
	n := t.Shape.Elems() / rows
	for i := range values {
		values[i] = make([]float64, n)
		for k := range n {
			values[i][k] = tensortest.At(t, i*n+k)
		}
	}
	if labels != nil && t.DType.IsFloat() {
		o.Probabilities = probabilitiesOf(values, t.DType, sigmoid)
	}
	for i, v := range values {
		best := largest(v, labels, top, o.Probabilities)
		if rows == 1 {
			o.Top = best
			continue
		}
		row := rowReport{Input: strconv.Itoa(i), Top: best}
		if len(files) == rows {
			row.Input = files[i]
		}
		o.Rows = append(o.Rows, row)
	}
}

// largest are the top elements of v.
func largest(v []float64, labels []string, top int, p probabilities) []topElement {
	order := make([]topElement, len(v))
	for i, x := range v {
		order[i] = topElement{Index: i, Value: finite(x)}
	}
	slices.SortStableFunc(order, func(a, b topElement) int { return cmp.Compare(b.Value, a.Value) })
	sum := 0.0 // of what a softmax adds up
	for _, e := range order {
		sum += math.Exp(e.Value - order[0].Value)
	}
	order = order[:min(top, len(order))]
	for i := range order {
		e := &order[i]
		if labels != nil {
			e.Label = labels[e.Index]
		}
		if p != "" {
			x := e.Value
			if p == bySoftmax {
				x = math.Exp(x-order[0].Value) / sum
			}
			e.Probability = &x
		}
	}
	return order
}

// probabilitiesOf decides how the probabilities of classes follow from rows of
// an output: none do from one with numbers that are not finite.
func probabilitiesOf(rows [][]float64, d tensor.DType, sigmoid bool) probabilities {
	tolerance := 1e-3 // of the sum of a float32 softmax
	if d.Size() < 4 {
		tolerance = 1e-2
	}
	distribution, unit := true, true
	for _, v := range rows {
		sum := 0.0
		for _, x := range v {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return ""
			}
			unit = unit && x >= -tolerance && x <= 1+tolerance
			sum += x
		}
		distribution = distribution && math.Abs(sum-1) <= tolerance
	}
	switch {
	case sigmoid && unit:
		return ofSigmoid
	case distribution && unit:
		return asTheyAre
	}
	return bySoftmax
}

// isSigmoid says whether v is made by a sigmoid, but for changes of shape and
// type.
func isSigmoid(g *graph.Graph, v *graph.Value) bool {
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		n := g.Nodes[i]
		if !slices.Contains(n.Out, v) || n.Spec == nil || len(n.In) == 0 {
			continue
		}
		switch n.Spec.Type {
		case "Sigmoid", "HardSigmoid":
			return true
		case "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Cast":
			v = n.In[0]
		default:
			return false
		}
	}
	return false
}

// printOutputs shows reports to people.
func printOutputs(w io.Writer, reports []outputReport) {
	input := ""
	for _, r := range reports {
		if r.Input != input {
			input = r.Input
			title(w, "%s", input)
		}
		fmt.Fprintf(w, "output %s: %s%v, min %.6g, max %.6g, mean %.6g\n", r.Name, r.DType, r.Shape, r.Min, r.Max, r.Mean)
		printTop(w, "  ", r.Top)
		for _, row := range r.Rows {
			fmt.Fprintf(w, "  %s\n", row.Input)
			printTop(w, "    ", row.Top)
		}
		if r.Probabilities != "" {
			fmt.Fprintf(w, "  %s\n", r.Probabilities.explain())
		}
		if r.File != "" {
			fmt.Fprintf(w, "  written to %s\n", r.File)
		}
	}
}

func printTop(w io.Writer, indent string, top []topElement) {
	for _, e := range top {
		class := fmt.Sprintf("class %d", e.Index)
		if e.Label != "" {
			class = fmt.Sprintf("%s (class %d)", e.Label, e.Index)
		}
		if e.Probability != nil {
			fmt.Fprintf(w, "%s%6.2f %%  %s\n", indent, 100**e.Probability, class)
		} else {
			fmt.Fprintf(w, "%s%s: %.6g\n", indent, class, e.Value)
		}
	}
}

// title is the heading of a section of a report.
func title(w io.Writer, format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	fmt.Fprintf(w, "\n%s\n%s\n", s, strings.Repeat("-", len(s)))
}
