package report

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scission/split"
)

func TestErrorsAreSummedUpAsByHand(t *testing.T) {
	for _, c := range []struct {
		errors []float64
		want   Errors
	}{
		{nil, Errors{}},
		{[]float64{-0.5}, Errors{1, 0.5, 0.5, 0.5, -0.5}},
		// Sizes 1 2 3 4, signed -3 -1 2 4.
		{[]float64{4, -1, 2, -3}, Errors{4, 2.5, 4, 4, 0.5}},
		// Of 1 to 20, 19 are 95 %.
		{[]float64{20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, Errors{20, 10.5, 19, 20, 10.5}},
		// Of 1 to 21, 19.95 would be 95 %, so it takes 20.
		{[]float64{21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, Errors{21, 11, 20, 21, 11}},
	} {
		if got := SumUp(c.errors); got != c.want {
			t.Errorf("%v: got %+v, want %+v", c.errors, got, c.want)
		}
	}
}

func TestErrorsAreSharesOfWhatWasMeasured(t *testing.T) {
	if got := (Execution{Ratios: []float64{0.75, 9, Ratio(60, 120)}}).Error(); got != -0.25 {
		t.Errorf("90 for 120: got %v, want -0.25", got)
	}
	if got := (Additivity{Ratios: []float64{1.02, Ratio(104, 100)}}).Error(); math.Abs(got-0.03) > 1e-12 {
		t.Errorf("103 for 100: got %v, want 0.03", got)
	}
	if got := (Execution{Ratios: []float64{Ratio(1, 0)}}).Error(); math.IsInf(got, 0) || math.IsNaN(got) {
		t.Errorf("nothing measured: got %v, want a number", got)
	}
}

// validations is results of n networks with errors of up to 10 %.
func validations(n int) []*Validation {
	r := rand.New(rand.NewPCG(1, 2))
	off := func(d time.Duration) time.Duration { return time.Duration(float64(d) * (0.9 + 0.2*r.Float64())) }
	var list []*Validation
	for i := range n {
		whole := time.Duration(10+30*i) * time.Millisecond
		v := &Validation{Model: split.Model{Name: fmt.Sprintf("zoo:network_%d<", i)}, Layers: 100, Rounds: 7, Others: 0.01, Emulated: []string{"links"}, Links: []string{"a→b 1 Mbit/s"}}
		for _, host := range []string{"device", "edge", "cloud"} {
			sum := off(whole)
			v.Hosts = append(v.Hosts, Additivity{host, sum, whole, []float64{Ratio(sum, whole)}})
		}
		for k := range 12 {
			took := whole + time.Duration(5+20*k)*time.Millisecond
			predicted := off(took)
			v.Partitions = append(v.Partitions, Execution{
				Partition: split.Partition{{Host: "device", Segment: split.Segment{From: 0, To: k + 1}}, {Host: "edge", Segment: split.Segment{From: k + 1, To: 100}}},
				Hops:      2 + 2*(k%2), Predicted: predicted, Measured: took, Samples: split.Samples{took}, Ratios: []float64{Ratio(predicted, took)},
			})
		}
		list = append(list, v)
	}
	return list
}

// With SCISSION_FIGURES=DIR the figures are kept there, to be looked at.
func TestValidationPageNamesEveryFigureAndPartition(t *testing.T) {
	list := validations(18)
	list[3].Disturbed, list[3].Others, list[3].Repeats = true, 0.5, 2
	page, err := ValidationPage(list)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := page.Write(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	wants := []string{"50.0 disturbed", "7 of 9", "1 disturbed", "network_17&lt;", list[17].Partitions[11].Partition.String(), "<li>links</li>"}
	for _, f := range page.Figures {
		wants = append(wants, `<figure id="`+f.Name+`">`)
	}
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if len(page.Figures) != 2 || strings.Contains(text, "network_17<") {
		t.Errorf("%d figures, want 2; or a name is not escaped", len(page.Figures))
	}
	dir := t.TempDir()
	if kept := os.Getenv("SCISSION_FIGURES"); kept != "" {
		dir = kept
	}
	for _, f := range page.Figures {
		paths, err := f.Write(dir)
		if err != nil {
			t.Fatal(err)
		}
		svg, err := os.ReadFile(paths[1])
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, filepath.Base(paths[1]), svg)
	}
}

func TestTableHasARowForEachNetworkAndTheTotals(t *testing.T) {
	list := validations(2)
	list[0].Others = -1
	var b bytes.Buffer
	if err := WriteValidations(&b, list); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 4 || !strings.Contains(lines[1], "network_0") || !strings.Contains(lines[1], "unknown") || !strings.Contains(lines[3], "all") {
		t.Errorf("got\n%s\nwant a header, two networks and the totals", b.String())
	}
	b.Reset()
	if err := WriteMarkdown(&b, list); err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(rows) != 5 || !strings.HasPrefix(rows[2], "| network_0") || !strings.HasPrefix(rows[4], "| all |  | ") {
		t.Errorf("got\n%s\nwant a header, two networks and the totals", b.String())
	}
	for _, row := range rows {
		if got, want := strings.Count(row, "|"), strings.Count(rows[0], "|"); got != want {
			t.Errorf("%q has %d bars, want %d", row, got, want)
		}
	}
	if want := Total(list).Prediction; want.Count != 24 || !strings.Contains(lines[3], fmt.Sprintf(" %.1f ", 100*want.Worst)) {
		t.Errorf("totals %+v are not in %q", want, lines[3])
	}
}

func TestFiguresOfNothingAreErrors(t *testing.T) {
	_, scatter := Scatter(nil)
	_, bars := AdditivityBars(nil)
	_, pareto := Pareto(nil, nil, split.Egress, nil)
	if scatter == nil || bars == nil || pareto == nil {
		t.Errorf("got %v, %v and %v, want errors", scatter, bars, pareto)
	}
}
