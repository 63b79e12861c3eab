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

// part says where a slot lies among the bytes of another slot.
type part struct {
	of     int // -1 for a slot that lies in no other
	offset int
}

// parts lets the operands of each kernel that puts its operands together lie
// in its result from the start, unless they lie in another one already. Later
// nodes come first: so in a chain of results, each the one before with more
// behind it, all are beginnings of the last. An operand that is a view stands
// for the slot it shows.
func (p *Plan) parts() []part {
	within := make([]part, len(p.values))
	shown := make([]int, len(p.values)) // the slot that a view shows, itself for others
	made := make([]bool, len(p.values)) // by a kernel of the plan
	for s := range within {
		within[s], shown[s] = part{of: -1}, s
	}
	for _, n := range p.nodes {
		for _, s := range n.out {
			if s >= 0 {
				made[s] = true
			}
		}
		if n.kernel.View && n.out[0] >= 0 {
			shown[n.out[0]] = shown[n.in[0]]
		}
	}
	for _, n := range slices.Backward(p.nodes) {
		if n.kernel.Parts == nil || n.out[0] < 0 {
			continue
		}
		whole := n.out[0]
		if within[whole].of < 0 {
			if there := assembled(n, within, shown); there.of >= 0 {
				within[whole] = there
				continue
			}
		}
		for j, s := range n.in {
			if s = shown[s]; made[s] && within[s].of < 0 && n.kernel.Parts[j]%tensor.Align == 0 {
				within[s] = part{whole, n.kernel.Parts[j]}
			}
		}
	}
	return within
}

// outermost returns the slot that lies in no other and has s in it, and where:
// s itself at 0 if it lies in no other.
func outermost(within []part, s int) part {
	at := part{of: s}
	for within[at.of].of >= 0 {
		at = part{within[at.of].of, at.offset + within[at.of].offset}
	}
	return at
}

// assembled returns where node n's operands lie in another slot as they do in
// the node's result.
func assembled(n planNode, within []part, shown []int) part {
	first := outermost(within, shown[n.in[0]])
	for j, s := range n.in {
		s = shown[s]
		at := outermost(within, s)
		if within[s].of < 0 || at.of != first.of || at.offset-first.offset != n.kernel.Parts[j] {
			return part{of: -1}
		}
	}
	return first
}

// place lays all slots and the kernels' temporary memory into one arena. A
// part of another slot lies there; else a kernel's result takes the memory of
// an operand that dies there where the kernel allows it; a view always takes
// its operand's.
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
	owner := make([]int, len(p.values))  // block of each slot in the arena
	inside := make([]int, len(p.values)) // where in the block
	within := p.parts()
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
				p.places[s], owner[s], inside[s] = p.places[from], owner[from], inside[from]
			} else if at := outermost(within, s); at.of != s {
				if owner[at.of] < 0 {
					owner[at.of] = reserve(p.sizes[at.of], i, i)
				}
				owner[s], inside[s] = owner[at.of], at.offset
			} else if j == 0 && owner[s] < 0 {
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
		owner, inside = append(owner, reserve(p.sizes[s], end, end)), append(inside, 0)
		p.outputs[i] = outputSlot{from: o.from, to: s, copied: true}
	}

	if err := p.pack(blocks, limit); err != nil {
		return err
	}
	for s, b := range owner {
		if b >= 0 {
			p.places[s].offset = blocks[b].offset + inside[s]
		}
	}
	p.skipAssembled()
	for i, b := range temps {
		if b >= 0 {
			p.nodes[i].temp = blocks[b].offset
		}
	}
	return nil
}

// skipAssembled takes the steps of those kernels away whose operands all lie in
// the result.
func (p *Plan) skipAssembled() {
	for i := range p.nodes {
		n := &p.nodes[i]
		if n.kernel.Parts == nil || n.out[0] < 0 {
			continue
		}
		whole, all := p.places[n.out[0]], true
		for j, s := range n.in {
			at := p.places[s]
			all = all && at.kind == inArena && at.offset-whole.offset == n.kernel.Parts[j]
		}
		if all {
			n.kernel.Steps, n.info.Kernel = nil, "in place"
		}
	}
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
