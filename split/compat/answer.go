package compat

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// maxConfigurations bounds the work of a query.
const maxConfigurations = 1 << 24

// Part is what one tier runs.
type Part struct {
	Name        string // of the system; empty where the edge or the cloud is unused
	First, Last int    // layers, -1 where unused
	Seconds     float64
}

func (p Part) used() bool { return p.First >= 0 }

var unused = Part{First: -1, Last: -1}

// Result is a configuration and what it costs by the original's reckoning.
type Result struct {
	Parts                    [tiers]Part
	DeviceUpload, EdgeUpload float64 // bytes
	Processing, Transfer     float64 // seconds
	Latency                  float64 // seconds, by which results are ranked
}

// String is the result's line of output, without its rank.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.4fs - %.4fMB - ", r.Latency, (r.DeviceUpload+r.EdgeUpload)/thousand/thousand)
	for t, p := range r.Parts {
		if t > 0 {
			b.WriteString(", ")
		}
		tier := Tier(t).String()
		fmt.Fprintf(&b, "%s%s(%s) = %d - %d", strings.ToUpper(tier[:1]), tier[1:], cmp.Or(p.Name, "None"), p.First, p.Last)
	}
	return b.String()
}

// ranked is the result's line of output at an index of the ranking.
func (r *Result) ranked(index int) string { return fmt.Sprintf("[%d] %v", index+1, r) }

// Answer is what the original says to a query.
type Answer struct {
	// Loaded is the number of systems of each tier.
	Loaded [tiers]int
	Model  string
	// Configurations is how many there are, Matching how many fulfil the criteria.
	Configurations, Matching int
	// Results are the best, best first. Of equal latencies the original puts first what a hash seed chose;
	// here the order is that of the systems' names and of the ranges.
	Results []Result
	// Fails is set where the original stops before it has printed everything, and says why.
	Fails error
}

// WriteTo writes what the original prints, as far as it comes.
func (a *Answer) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	if a.Loaded == [tiers]int{} {
		b.WriteString("[+] No .dat benchmark files stored in benchmark_data. Exiting...\n")
	} else {
		fmt.Fprintf(&b, "[+] %d systems loaded : %d device, %d edge, %d cloud\n",
			a.Loaded[Device]+a.Loaded[Edge]+a.Loaded[Cloud], a.Loaded[Device], a.Loaded[Edge], a.Loaded[Cloud])
		a.results(&b)
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

func (a *Answer) results(b *strings.Builder) {
	switch {
	case len(a.Results) > 0:
		fmt.Fprintf(b, "[+] %s results\n", a.Model)
		for i := range a.Results {
			b.WriteString(a.Results[i].ranked(i) + "\n")
		}
		if a.Fails == nil {
			fmt.Fprintf(b, "[+] Graph created: %s\n", a.graph())
		}
	case a.Fails == nil:
		b.WriteString("No results for the specified configuration\n")
	}
}

// graph is what the original calls the picture of the best result.
func (a *Answer) graph() string { return a.Model + "-" + hundredths(a.Results[0].Latency) + "s" }

// exponential is from where on Python writes a number with an exponent.
const exponential = 1e16

// hundredths writes a number rounded to two places as Python writes it: with the fewest digits that tell it
// from other numbers, and at least one place.
func hundredths(v float64) string {
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'f', 2, 64), 64)
	if math.Abs(v) >= exponential {
		return strconv.FormatFloat(v, 'e', -1, 64)
	}
	s := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// jsonPart, jsonResult and jsonAnswer are the JSON form of an answer.
type jsonPart struct {
	Name  string  `json:"name,omitempty"` // empty where the edge or the cloud is unused
	Used  bool    `json:"used"`
	First int     `json:"first_layer"`
	Last  int     `json:"last_layer"`
	Time  float64 `json:"time_s"`
}

type jsonResult struct {
	Rank         int      `json:"rank"`
	Line         string   `json:"line"` // as the original prints it
	Latency      float64  `json:"latency_s"`
	Processing   float64  `json:"processing_s"`
	Transfer     float64  `json:"transfer_s"`
	DeviceUpload float64  `json:"device_upload_bytes"`
	EdgeUpload   float64  `json:"edge_upload_bytes"`
	Device       jsonPart `json:"device"`
	Edge         jsonPart `json:"edge"`
	Cloud        jsonPart `json:"cloud"`
}

type jsonAnswer struct {
	Model          string         `json:"model"`
	Systems        map[string]int `json:"systems"` // of each tier
	Configurations int            `json:"configurations"`
	Matching       int            `json:"matching"`
	Results        []jsonResult   `json:"results"`         // best first; none is an empty list
	Graph          string         `json:"graph,omitempty"` // the name of the picture that the original draws
	Fails          string         `json:"fails,omitempty"` // of what the original dies
}

// MarshalJSON writes the whole answer, with numbers to the last bit where the original rounds. FORMATS.md of
// package split lists the fields.
func (a *Answer) MarshalJSON() ([]byte, error) {
	j := jsonAnswer{Model: a.Model, Systems: map[string]int{}, Configurations: a.Configurations, Matching: a.Matching, Results: []jsonResult{}}
	for t, n := range a.Loaded {
		j.Systems[Tier(t).String()] = n
	}
	part := func(p Part) jsonPart { return jsonPart{p.Name, p.used(), p.First, p.Last, p.Seconds} }
	for i := range a.Results {
		r := &a.Results[i]
		j.Results = append(j.Results, jsonResult{
			Rank: i + 1, Line: r.ranked(i), Latency: r.Latency, Processing: r.Processing, Transfer: r.Transfer,
			DeviceUpload: r.DeviceUpload, EdgeUpload: r.EdgeUpload,
			Device: part(r.Parts[Device]), Edge: part(r.Parts[Edge]), Cloud: part(r.Parts[Cloud]),
		})
	}
	switch {
	case a.Fails != nil:
		j.Fails = a.Fails.Error()
	case len(a.Results) > 0:
		j.Graph = a.graph()
	}
	return json.Marshal(j)
}

// ErrGraph is wrapped by Answer.Fails where the original prints every result and dies while it draws the
// best: a cloud that is unused is to get what an edge that took no time sends.
var ErrGraph = errors.New("the original fails to draw its graph")

// Answer answers a query. Its error is also in the answer's Fails, and wraps [ErrUsage] where the query asks
// for what there is not; it is nil where only drawing fails ([ErrGraph]).
func (all *Systems) Answer(n Network, q *Query) (*Answer, error) {
	a := &Answer{Model: q.Model}
	for t := range all {
		a.Loaded[t] = len(all[t])
	}
	if a.Loaded == [tiers]int{} {
		return a, nil
	}
	if a.Fails = all.rank(a, n, q); a.Fails != nil {
		a.Results = nil
		return a, fmt.Errorf("compat: %w", a.Fails)
	}
	if len(a.Results) > 0 {
		if best := &a.Results[0]; best.Parts[Edge].used() && !best.Parts[Cloud].used() && best.EdgeUpload != 0 {
			a.Fails = fmt.Errorf("%w: no link from %s to None", ErrGraph, best.Parts[Edge].Name)
		}
	}
	return a, nil
}

// rank sets the answer's figures and results.
func (all *Systems) rank(a *Answer, n Network, q *Query) error {
	for t, systems := range all {
		if len(systems) == 0 {
			return fmt.Errorf("%w: no %v among the benchmarks", ErrUsage, Tier(t))
		}
	}
	blocks, err := all.blocks(q.Model)
	if err != nil {
		return err
	}
	count, d, e, c := len(blocks), a.Loaded[Device], a.Loaded[Edge], a.Loaded[Cloud]
	// On the device alone, on device and cloud, on device and edge, on all three.
	configurations := int64(d) * (1 + int64(count)*int64(c+e) + int64(e)*int64(c)*int64(count)*int64(count-1)/2)
	if configurations > maxConfigurations {
		return fmt.Errorf("%w: %d configurations, want at most %d", ErrUsage, configurations, maxConfigurations)
	}
	a.Configurations = int(configurations)
	if q.Count < 1 {
		return fmt.Errorf("%w: %d results are asked for, want at least 1", ErrUsage, q.Count)
	}
	s := &search{query: q, blocks: blocks, top: top{most: min(q.Count, a.Configurations)}}
	s.connect(all, n)
	if err := s.run(all); err != nil {
		return err
	}
	a.Matching, a.Results = s.matching, s.top.best()
	return nil
}

// blocks are a model's blocks, which all systems must share but for the times.
func (all *Systems) blocks(model string) ([]Block, error) {
	var first []Block
	for t, systems := range all {
		for _, s := range systems {
			blocks, ok := s.Models[model]
			if !ok {
				return nil, fmt.Errorf("%w: %v %s has no benchmark of model %.40q", ErrUsage, Tier(t), s.Name, model)
			}
			if first == nil {
				first = blocks
			}
			if !sameBlocks(first, blocks) {
				return nil, fmt.Errorf("%w: %v %s has other blocks of model %.40q than %s", ErrUsage, Tier(t), s.Name, model, all[Device][0].Name)
			}
		}
	}
	return first, nil
}
