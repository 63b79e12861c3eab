package engine

import (
	"cmp"
	"fmt"
	"slices"

	"scission/engine/tensor"
)

// place is where the bytes of a slot lie.
type place struct {
	kind   placeKind
	offset int // in the arena
	of     int // slot whose bytes these are, when kind is sharesInput or sharesConst
}

type placeKind uint8

const (
	nowhere placeKind = iota // a constant that every kernel has packed
	inArena
	sharesInput
	sharesConst
)

// block is a piece of arena that one or more slots use one after another.
type block struct {
	size        int
	first, last int // nodes between which it is in use, inclusive
	offset      int
}

// place lays all slots and the kernels' temporary memory into one arena. A
// kernel's result takes the memory of an operand that dies there where the
// kernel allows it; a view always takes its operand's.
func (p *Plan) place(limit int) error {
	end := len(p.nodes)
	last := make([]int, len(p.values)) // the last node that reads the slot
	for i, n := range p.nodes {
		for _, s := range n.in {
			if s >= 0 {
				last[s] = i
			}
		}
	}
	for _, o := range p.outputs {
		last[o.from] = end
	}

	p.places = make([]place, len(p.values))
	owner := make([]int, len(p.values)) // block of each slot in the arena
	var blocks []*block
	reserve := func(size, first, last int) int {
		blocks = append(blocks, &block{size: size, first: first, last: last})
		return len(blocks) - 1
	}
	for s := range p.values {
		owner[s] = -1
		if p.isInput(s) {
			p.places[s] = place{kind: sharesInput, of: s}
		} else if p.consts[s] != nil {
			p.places[s] = place{kind: sharesConst, of: s}
		}
	}
	temps := make([]int, len(p.nodes))
	for i, n := range p.nodes {
		temps[i] = -1
		if n.kernel.Temp > 0 {
			temps[i] = reserve(n.kernel.Temp, i, i)
		}
		for j, s := range n.out {
			if s < 0 {
				continue
			}
			if j == 0 && n.kernel.View {
				from := n.in[0]
				p.places[s], owner[s] = p.places[from], owner[from]
			} else if j == 0 {
				owner[s] = p.inPlace(n, i, owner, blocks)
			}
			if owner[s] < 0 && p.places[s].kind == nowhere {
				owner[s] = reserve(p.sizes[s], i, i)
			}
			if b := owner[s]; b >= 0 {
				p.places[s].kind = inArena
				blocks[b].last = max(blocks[b].last, last[s], i)
			}
		}
	}
	for i, o := range p.outputs {
		if p.places[o.from].kind == inArena {
			continue
		}
		// The caller's own tensor, or a constant: hand out a copy.
		s := len(p.values)
		p.values = append(p.values, p.values[o.from])
		p.sizes = append(p.sizes, p.sizes[o.from])
		p.places = append(p.places, place{kind: inArena})
		owner = append(owner, reserve(p.sizes[s], end, end))
		p.outputs[i] = outputSlot{from: o.from, to: s, copied: true}
	}

	if err := p.pack(blocks, limit); err != nil {
		return err
	}
	for s, b := range owner {
		if b >= 0 {
			p.places[s].offset = blocks[b].offset
		}
	}
	for i, b := range temps {
		if b >= 0 {
			p.nodes[i].temp = blocks[b].offset
		}
	}
	return nil
}

// inPlace returns the block of an operand of node i that the node's first
// result may take over, or -1: the operand's block is used by no later node
// and by no other operand, and has the result's size.
func (p *Plan) inPlace(n planNode, i int, owner []int, blocks []*block) int {
	for _, k := range n.kernel.InPlace {
		if k >= len(n.in) || n.in[k] < 0 {
			continue
		}
		s := n.in[k]
		b := owner[s]
		if b < 0 || blocks[b].last > i || p.sizes[s] != p.sizes[n.out[0]] || blocks[b].size != p.sizes[s] {
			continue
		}
		alone := true
		for other, t := range n.in {
			alone = alone && (other == k || t < 0 || owner[t] != b)
		}
		if alone {
			return b
		}
	}
	return -1
}

// pack gives each block an offset so that no two blocks in use at the same
// time overlap: the largest first, each into the smallest gap that fits.
func (p *Plan) pack(blocks []*block, limit int) error {
	order := slices.Clone(blocks)
	slices.SortStableFunc(order, func(a, b *block) int { return cmp.Compare(b.size, a.size) })
	var placed []*block // by offset
	for _, b := range order {
		size := align(b.size)
		best, bestGap, at := -1, 0, 0
		for _, q := range placed {
			if q.first > b.last || q.last < b.first {
				continue
			}
			if gap := q.offset - at; gap >= size && (best < 0 || gap < bestGap) {
				best, bestGap = at, gap
			}
			at = max(at, q.offset+align(q.size))
		}
		if best < 0 {
			best = at
		}
		b.offset = best
		if size > limit || best > limit-size {
			return fmt.Errorf("engine: graph %q: %w: %d bytes of activations, limit is %d", p.name, ErrMemory, best+size, limit)
		}
		p.arena = max(p.arena, best+size)
		at2, _ := slices.BinarySearchFunc(placed, b, func(x, y *block) int { return cmp.Compare(x.offset, y.offset) })
		placed = slices.Insert(placed, at2, b)
	}
	return nil
}

func align(n int) int { return (n + tensor.Align - 1) &^ (tensor.Align - 1) }
