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
	// Tile marks a hop on which only some rows travel, to or from a worker of a tiled stage.
	Tile bool `json:"tile,omitempty"`
}

// String is "device→edge@7", with "back" behind it on the way back, and "rows" where only some travel.
func (h Hop) String() string {
	s := fmt.Sprintf("%s→%s@%d", h.From, h.To, h.Position)
	if h.Back {
		s += " back"
	}
	if h.Tile {
		s += " rows"
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
// The workers of a tiled stage, but for the source, get their rows from the source and send it theirs, one after
// the other in the list though all at once in a run. Before the stage the data returns to the source as the
// outputs do.
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
	home := func(position int, back bool) {
		for i := len(hops) - 1; i >= outward; i-- {
			hops = append(hops, Hop{From: hops[i].To, To: hops[i].From, Position: position, Back: back})
		}
		here, outward = source, len(hops)
	}
	for _, s := range p {
		if s.Host == here {
			continue
		}
		if workers := s.Workers(); workers != nil {
			home(s.Segment.From, false)
			for _, w := range workers {
				if w.Host != source {
					hops = append(hops, Hop{From: source, To: w.Host, Position: s.Segment.From, Tile: true})
				}
			}
			for _, w := range workers {
				if w.Host != source {
					hops = append(hops, Hop{From: w.Host, To: source, Position: s.Segment.To, Tile: true})
				}
			}
			outward = len(hops)
			continue
		}
		if here != source && s.Host != source && linked != nil && !linked(here, s.Host) {
			move(source, s.Segment.From)
		}
		move(s.Host, s.Segment.From)
	}
	home(p[len(p)-1].Segment.To, true)
	return hops
}
