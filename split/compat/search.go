package compat

import (
	"cmp"
	"fmt"
	"slices"
)

// thousand squared turns megabytes into bytes and back, in the two steps in which the original does: the last bit
// depends on it, and by it a printed digit may.
const thousand = 1000

// search goes through all configurations of a query.
type search struct {
	query    *Query
	blocks   []Block
	links    [tiers][tiers][][]Link // by the tiers, then the systems at their ends; a missing one has no rate
	matching int
	top      top
}

// choice is a configuration: the systems by their number in their tier, and where their ranges end. The
// device has the blocks before x and the edge, if used, those from there before y.
type choice struct {
	system [tiers]int
	x, y   int
}

// connect looks up the links between all systems.
func (s *search) connect(all *Systems, n Network) {
	for _, ends := range [][2]Tier{{Device, Edge}, {Device, Cloud}, {Edge, Cloud}} {
		for _, from := range all[ends[0]] {
			row := make([]Link, len(all[ends[1]]))
			for i, to := range all[ends[1]] {
				row[i] = n[[2]string{from.Name, to.Name}]
			}
			s.links[ends[0]][ends[1]] = append(s.links[ends[0]][ends[1]], row)
		}
	}
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
	rest := func(r *Result, at choice) error {
		from := max(at.x, at.y)
		if from == end {
			r.Parts[Cloud] = unused
			return s.try(r, at)
		}
		for i, c := range all[Cloud] {
			r.Parts[Cloud] = Part{c.Name, s.blocks[from].First, s.blocks[end-1].Last, clouds[i][from]}
			at.system[Cloud] = i
			if err := s.try(r, at); err != nil {
				return err
			}
		}
		return nil
	}
	var r Result
	var at choice
	for i, d := range all[Device] {
		at.system[Device] = i
		device := Part{d.Name, -1, -1, 0}
		for at.x = 0; at.x <= end; at.x++ {
			if at.x > 0 {
				device.First, device.Last = s.blocks[0].First, s.blocks[at.x-1].Last
				device.Seconds += d.Models[model][at.x-1].Seconds
			}
			r.Parts[Device], r.Parts[Edge] = device, unused
			at.y = 0
			if err := rest(&r, at); err != nil {
				return err
			}
			for j, e := range all[Edge] {
				at.system[Edge] = j
				edge, times := Part{Name: e.Name}, e.Models[model]
				for at.y = at.x + 1; at.y <= end; at.y++ {
					edge.First, edge.Last = s.blocks[at.x].First, s.blocks[at.y-1].Last
					edge.Seconds += times[at.y-1].Seconds
					r.Parts[Edge] = edge
					if err := rest(&r, at); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// try prices a configuration and keeps it if it fulfils the query.
func (s *search) try(r *Result, at choice) error {
	s.upload(r, at)
	r.Processing = r.Parts[Device].Seconds + r.Parts[Edge].Seconds + r.Parts[Cloud].Seconds
	uploads := [...]float64{Device: r.DeviceUpload, Edge: r.EdgeUpload, Cloud: 0}
	for t := range r.Parts {
		p, want := &r.Parts[t], &s.query.Tiers[t]
		if !want.Criteria.Allow(p.First, p.Last, p.Name) {
			return nil
		}
		if limit := want.Upload; limit != nil && !(uploads[t] <= *limit*thousand*thousand) {
			return nil
		}
		if ok, err := want.Time.allow(p.Seconds, r.Processing); !ok {
			return err
		}
	}
	if err := s.travel(r, at); err != nil {
		return err
	}
	r.Latency = r.Processing + r.Transfer
	s.matching++
	s.top.add(r)
	return nil
}

// upload sets what the device and the edge send. The original takes a cloud, or an edge and a cloud, that
// need no time for unused ones, to which nothing is sent.
func (s *search) upload(r *Result, at choice) {
	edge, cloud := &r.Parts[Edge], &r.Parts[Cloud]
	r.DeviceUpload, r.EdgeUpload = 0, 0
	if edge.used() {
		r.EdgeUpload = float64(s.blocks[at.y-1].Bytes)
	}
	switch {
	case edge.Seconds == 0 && cloud.Seconds == 0:
		return
	case cloud.Seconds == 0:
		r.EdgeUpload = 0
	}
	if at.x > 0 {
		r.DeviceUpload = float64(s.blocks[at.x-1].Bytes)
	} else {
		r.DeviceUpload = s.query.Input * thousand * thousand
	}
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
func (s *search) travel(r *Result, at choice) error {
	r.Transfer = 0
	next := Edge
	switch edge, cloud := r.Parts[Edge].used(), r.Parts[Cloud].used(); {
	case !edge && !cloud:
		return nil
	case !edge:
		next = Cloud
	case cloud:
		if err := s.hop(r, at, Edge, Cloud, r.EdgeUpload); err != nil {
			return err
		}
	}
	return s.hop(r, at, Device, next, r.DeviceUpload)
}

// hop adds the time of one transfer.
func (s *search) hop(r *Result, at choice, from, to Tier, bytes float64) error {
	link := &s.links[from][to][at.system[from]][at.system[to]]
	if link.Rate == 0 {
		return fmt.Errorf("%w: the network has no link from %q to %q", ErrUsage, r.Parts[from].Name, r.Parts[to].Name)
	}
	r.Transfer += link.Seconds(bytes)
	return nil
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
