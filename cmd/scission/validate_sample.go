package main

import (
	"errors"
	"math"

	"scission/split"
)

// widePenalty is how much further from the wanted place, as a share of the
// model's work, a cut of one tensor may be than a wider one.
const widePenalty = 0.03

// sampler draws partitions that are spread over cut positions and numbers of
// hops.
type sampler struct {
	pb    split.Problem
	share map[int]float64 // of the work that is before a position, from 0 to 1
	seen  map[string]bool
	list  []split.Partition
}

// samplePartitions draws n partitions of a problem: the best split of all and
// the best over all hosts, and then by turns splits over two hosts and, where
// there are three, over three, with cuts that are spread evenly over the work.
// There are fewer where the model has fewer. Of the hosts the first is the
// source.
func samplePartitions(pb split.Problem, n int) ([]split.Partition, error) {
	s := &sampler{pb: pb, share: map[int]float64{}, seen: map[string]bool{}}
	elapsed := []float64{0}
	for _, took := range pb.Profiles[pb.Hosts[0]].LayerTimes() {
		elapsed = append(elapsed, elapsed[len(elapsed)-1]+float64(took))
	}
	for _, at := range pb.Positions {
		if at.P > 0 && at.P < pb.Layers {
			s.share[at.P] = elapsed[at.P] / max(elapsed[pb.Layers], 1)
		}
	}
	for _, q := range []split.Query{{SplitOnly: true, MaxWidth: math.MaxInt}, {SplitOnly: true, MaxWidth: math.MaxInt, Use: pb.Hosts}} {
		best, err := pb.Rank(q)
		if errors.Is(err, split.ErrNoPartition) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.add(best[0].Partition)
	}
	pairs := [][2]int{{0, 1}}
	if len(pb.Hosts) > 2 {
		pairs = append(pairs, [2]int{0, 2}, [2]int{1, 2})
	}
	rest := n - len(s.list)
	twos := rest
	if len(pb.Hosts) > 2 {
		twos = (rest + 1) / 2
	}
	threes := rest - twos
	for k := range max(twos, threes) {
		if k < twos {
			pair := pairs[k%len(pairs)]
			s.draw([]string{pb.Hosts[pair[0]], pb.Hosts[pair[1]]}, (float64(k)+0.5)/float64(twos))
		}
		if k < threes {
			first := (float64(k) + 0.25) / float64(threes) // between those of the splits over two
			behind := float64(1+k%2) / 3                   // the second cut divides what is behind the first, by turns early and late
			s.draw(pb.Hosts[:3], first, first+(1-first)*behind)
		}
	}
	return s.list, nil
}

// draw adds the partition over the hosts that is new and whose cuts are closest
// to the given shares of the work; none if there is none.
func (s *sampler) draw(hosts []string, shares ...float64) {
	var best split.Partition
	closest := math.Inf(1)
	var try func(cuts []int, distance float64)
	try = func(cuts []int, distance float64) {
		if distance >= closest {
			return
		}
		if i := len(cuts); i < len(shares) {
			for _, at := range s.pb.Positions {
				share, inside := s.share[at.P]
				if !inside || i > 0 && at.P <= cuts[i-1] {
					continue
				}
				far := math.Abs(share - shares[i])
				if at.Width > 1 {
					far += widePenalty
				}
				try(append(cuts, at.P), distance+far)
			}
			return
		}
		p := make(split.Partition, len(hosts))
		ends := append(cuts, s.pb.Layers)
		from := 0
		for i, host := range hosts {
			p[i] = split.Stage{Host: host, Segment: split.Segment{From: from, To: ends[i]}}
			from = ends[i]
		}
		if !s.seen[p.String()] {
			best, closest = p, distance
		}
	}
	try(make([]int, 0, len(shares)+1), 0)
	if best != nil {
		s.add(best)
	}
}

func (s *sampler) add(p split.Partition) {
	if text := p.String(); !s.seen[text] {
		s.seen[text] = true
		s.list = append(s.list, p)
	}
}
