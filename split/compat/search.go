package compat

import (
	"cmp"
	"fmt"
	"slices"
)

// thousand squared turns megabytes into bytes, in the two steps in which the original does.
const thousand = 1000

// search goes through all configurations of a query.
type search struct {
	query    *Query
	network  Network
	blocks   []Block
	matching int
	top      top
}

// run tries every range of blocks on every device, edge and cloud. Times are summed from the first block of a
// range to its last, one after the other, as the last bit depends on it.
func (s *search) run(all *Systems) error {
	end := len(s.blocks) // a range may begin here, and is empty then
	model := s.query.Model
	clouds := make([][]float64, len(all[Cloud])) // seconds from a block to the end
	for i, c := range all[Cloud] {
		clouds[i] = make([]float64, end)
		for from := range end {
			for _, b := range c.Models[model][from:] {
				clouds[i][from] += b.Seconds
			}
		}
	}
	// rest tries what has the blocks from one on in the cloud, if any are left.
	rest := func(r *Result, x, y int) error {
		from := max(x, y)
		if from == end {
			r.Parts[Cloud] = unused
			return s.try(r, x, y)
		}
		for i, c := range all[Cloud] {
			r.Parts[Cloud] = Part{c.Name, s.blocks[from].First, s.blocks[end-1].Last, clouds[i][from]}
			if err := s.try(r, x, y); err != nil {
				return err
			}
		}
		return nil
	}
	var r Result
	for _, d := range all[Device] {
		device := Part{d.Name, -1, -1, 0}
		for x := range end + 1 { // the device has the blocks before x
			if x > 0 {
				device.First, device.Last = s.blocks[0].First, s.blocks[x-1].Last
				device.Seconds += d.Models[model][x-1].Seconds
			}
			r.Parts[Device], r.Parts[Edge] = device, unused
			if err := rest(&r, x, 0); err != nil {
				return err
			}
			for _, e := range all[Edge] {
				edge := Part{Name: e.Name}
				for y := x + 1; y <= end; y++ { // and the edge those from x before y
					edge.First, edge.Last = s.blocks[x].First, s.blocks[y-1].Last
					edge.Seconds += e.Models[model][y-1].Seconds
					r.Parts[Edge] = edge
					if err := rest(&r, x, y); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// try prices a configuration, whose device has the blocks before x and whose edge, if used, those before y,
// and keeps it if it fulfils the query.
func (s *search) try(r *Result, x, y int) error {
	tiers := &s.query.Tiers
	device, edge, cloud := &r.Parts[Device], &r.Parts[Edge], &r.Parts[Cloud]
	for t := range r.Parts {
		p := &r.Parts[t]
		if !tiers[t].Criteria.Allow(p.First, p.Last, p.Name) {
			return nil
		}
	}
	r.DeviceUpload, r.EdgeUpload = 0, 0
	if edge.used() {
		r.EdgeUpload = float64(s.blocks[y-1].Bytes)
	}
	// The original takes a tier that needs no time for one that is unused.
	switch idle := cloud.Seconds == 0; {
	case idle && edge.Seconds == 0:
	case x == 0:
		r.DeviceUpload = s.query.Input * thousand * thousand
	default:
		r.DeviceUpload = float64(s.blocks[x-1].Bytes)
	}
	if cloud.Seconds == 0 && edge.Seconds != 0 {
		r.EdgeUpload = 0
	}
	r.Processing = device.Seconds + edge.Seconds + cloud.Seconds
	for t, upload := range []float64{r.DeviceUpload, r.EdgeUpload} {
		if limit := tiers[t].Upload; limit != nil && !(upload <= *limit*thousand*thousand) {
			return nil
		}
	}
	for t := range r.Parts {
		if ok, err := tiers[t].Time.allow(r.Parts[t].Seconds, r.Processing); !ok {
			return err
		}
	}
	if err := s.travel(r); err != nil {
		return err
	}
	r.Latency = r.Processing + r.Transfer
	s.matching++
	s.top.add(r)
	return nil
}

// allow says whether a tier may take a time, of which all take total.
func (l *TimeLimit) allow(seconds, total float64) (bool, error) {
	switch {
	case l == nil:
		return true, nil
	case !l.Percent:
		return seconds <= l.Value, nil
	case total == 0:
		return false, fmt.Errorf("%w: a limit in per cent of a configuration that takes no time", ErrUsage)
	}
	return seconds/total*100 <= l.Value, nil
}

// travel sets the time of the transfers. The device is the source even where it runs nothing.
func (s *search) travel(r *Result) (err error) {
	hop := func(from, to Tier, bytes float64) float64 {
		names := [2]string{r.Parts[from].Name, r.Parts[to].Name}
		link, ok := s.network[names]
		if (!ok || link.Rate == 0) && err == nil {
			err = fmt.Errorf("%w: the network has no link from %q to %q", ErrUsage, names[0], names[1])
		}
		return link.Seconds(bytes)
	}
	switch edge, cloud := r.Parts[Edge].used(), r.Parts[Cloud].used(); {
	case edge && cloud:
		r.Transfer = hop(Device, Edge, r.DeviceUpload) + hop(Edge, Cloud, r.EdgeUpload)
	case edge:
		r.Transfer = hop(Device, Edge, r.DeviceUpload)
	case cloud:
		r.Transfer = hop(Device, Cloud, r.DeviceUpload)
	default:
		r.Transfer = 0
	}
	return err
}

// top keeps the fastest results, of equal ones the first.
type top struct {
	most  int
	found []Result
	bound *float64 // the latency of the last of most results, when there are so many
}

func (t *top) add(r *Result) {
	if t.bound != nil && r.Latency >= *t.bound {
		return
	}
	t.found = append(t.found, *r)
	if len(t.found) >= 2*t.most {
		t.best()
	}
}

// best sorts the results and lets go of those beyond the most that are wanted.
func (t *top) best() []Result {
	slices.SortStableFunc(t.found, func(a, b Result) int { return cmp.Compare(a.Latency, b.Latency) })
	if len(t.found) >= t.most {
		t.found = t.found[:t.most]
		bound := t.found[t.most-1].Latency
		t.bound = &bound
	}
	return t.found
}
