package split

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Pareto gives the partitions of which no other is at least as good in each of two or three objectives and
// better in one, in the order of the first objective, then the second, then the third. Of partitions that are
// equal in all objectives it gives the one that comes first by latency. The query's conditions and limits
// hold; its Top and Objective do not matter.
//
// The front is exact. See [Problem.Rank] about the work and [ErrTooHard].
func (pb Problem) Pareto(q Query, objectives ...Objective) ([]Estimate, error) {
	t, err := pb.tables()
	if err != nil {
		return nil, fmt.Errorf("split: pareto: %w", err)
	}
	return t.pareto(q, objectives)
}

func (t *tables) pareto(q Query, objectives []Objective) ([]Estimate, error) {
	fail := func(err error) ([]Estimate, error) { return nil, fmt.Errorf("split: pareto: %w", err) }
	const fewest, most = 2, 3
	if len(objectives) < fewest || len(objectives) > most {
		return fail(fmt.Errorf("got %d objectives, want %d or %d", len(objectives), fewest, most))
	}
	for i, o := range objectives {
		if o < Latency || o > Energy || slices.Contains(objectives[:i], o) {
			return fail(fmt.Errorf("objective %v is unknown or given twice", o))
		}
	}
	q.Top, q.Objective = 1, Latency
	front, err := t.answer(q, func(s *search) (_ []Estimate, err error) {
		if s.charges, err = s.charged(objectives); err != nil {
			return nil, err
		}
		l, err := s.lattice()
		if err != nil {
			return nil, err
		}
		return s.newSweep(l, 1, objectives).run(math.MaxInt)
	})
	if err != nil {
		return fail(err)
	}
	if q.Accuracy != nil {
		front = q.Front(front, objectives...)
	}
	return front, nil
}

// Compare orders estimates as [Problem.Rank] does, best first.
func (q Query) Compare(a, b Estimate) int {
	return cmp.Or(cmp.Compare(a.value(q.Objective, q.Power), b.value(q.Objective, q.Power)), a.compare(b))
}

// Front picks from estimates those that [Problem.Pareto] would give if there were no others.
func (q Query) Front(all []Estimate, objectives ...Objective) []Estimate {
	type valued struct {
		Estimate
		values []int64
	}
	found := make([]valued, len(all))
	for i, e := range all {
		found[i].Estimate = e
		for _, o := range objectives {
			found[i].values = append(found[i].values, e.value(o, q.Power))
		}
	}
	slices.SortFunc(found, func(a, b valued) int {
		return cmp.Or(slices.Compare(a.values, b.values), a.compare(b.Estimate))
	})
	var front []Estimate
	var kept []valued
	for _, f := range found {
		beaten := slices.ContainsFunc(kept, func(g valued) bool {
			for k := range g.values {
				if g.values[k] > f.values[k] {
					return false
				}
			}
			return true
		})
		if !beaten {
			kept, front = append(kept, f), append(front, f.Estimate)
		}
	}
	return front
}
