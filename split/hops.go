package split

import "fmt"

// Hop is one transfer from host to host.
type Hop struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Position is the cut whose tensors travel: 0 for the model's inputs, the number of layers for its
	// outputs.
	Position int `json:"position"`
	// Back marks a hop on which the outputs return to the source.
	Back bool `json:"back,omitempty"`
}

// String is "device→edge@7", with "back" behind it on the way back.
func (h Hop) String() string {
	s := fmt.Sprintf("%s→%s@%d", h.From, h.To, h.Position)
	if h.Back {
		s += " back"
	}
	return s
}

// Hops lists, in order, the transfers of one run of a partition: what planning prices and an executor does.
//
// The inputs start at the source; if the first stage is elsewhere they travel there (position 0). From stage
// to stage the data takes the direct way if linked(from, to) holds or if one of the two is the source, and
// otherwise goes through the source in two hops. The outputs return hop by hop along the same way, reversed,
// until they reach the source: an earlier part of the way, before the data last passed the source, is not
// travelled again. Stages that follow each other on one host have no hop between them.
//
// Pass [Network.Linked], or nil where all hosts reach each other. The partition must be valid for its number
// of layers.
func Hops(p Partition, source string, linked func(from, to string) bool) []Hop {
	if len(p) == 0 {
		return nil
	}
	var hops []Hop
	outward := 0 // index of the first hop since the data last was at the source
	here := source
	move := func(to string, position int) {
		hops = append(hops, Hop{From: here, To: to, Position: position})
		here = to
		if to == source {
			outward = len(hops)
		}
	}
	for _, s := range p {
		if s.Host == here {
			continue
		}
		if here != source && s.Host != source && linked != nil && !linked(here, s.Host) {
			move(source, s.Segment.From)
		}
		move(s.Host, s.Segment.From)
	}
	end := p[len(p)-1].Segment.To
	for i := len(hops) - 1; i >= outward; i-- {
		hops = append(hops, Hop{From: hops[i].To, To: hops[i].From, Position: end, Back: true})
	}
	return hops
}
