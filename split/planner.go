package split

import "fmt"

// Planner answers many queries about one [Problem], of which it has the medians and the prices of all hops
// once and for all. It may be used by several goroutines at once.
type Planner struct {
	t *tables
}

// Prepare checks the problem and makes a planner. The planner keeps the problem's maps and profiles and its
// network, which must not change while it is in use.
func (pb Problem) Prepare() (*Planner, error) {
	t, err := pb.tables()
	if err != nil {
		return nil, fmt.Errorf("split: %w", err)
	}
	t.prepare()
	return &Planner{t}, nil
}

// Predict is [Problem.Predict].
func (p *Planner) Predict(partition Partition) (Estimate, error) { return p.t.predict(partition) }

// Rank is [Problem.Rank].
func (p *Planner) Rank(q Query) ([]Estimate, error) { return p.t.rank(q) }

// BestSplit is [Problem.BestSplit].
func (p *Planner) BestSplit(q Query) (Estimate, error) { return p.t.bestSplit(q) }

// Pareto is [Problem.Pareto].
func (p *Planner) Pareto(q Query, objectives ...Objective) ([]Estimate, error) {
	return p.t.pareto(q, objectives)
}
