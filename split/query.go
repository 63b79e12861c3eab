package split

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNoPartition is wrapped by the error of a query that no partition satisfies: too few links, or
// conditions that exclude everything.
var ErrNoPartition = errors.New("no partition satisfies the query")

// MaxTop is the largest number of results of one query.
const MaxTop = 100_000

// Query says which partitions to rank. The zero value asks for the best one.
type Query struct {
	// Top is how many of the best partitions to return, up to MaxTop; 0 means 1.
	Top int
	// MaxWidth is the largest width of a cut; 0 means 1.
	MaxWidth int
	// Use are hosts that must compute.
	Use []string
	// Avoid are hosts that must not compute; data may still pass the source.
	Avoid []string
	// SplitOnly leaves out native execution, on any host.
	SplitOnly bool
}

// check fills in the defaults.
func (q Query) check(hosts []string) (Query, error) {
	if q.Top == 0 {
		q.Top = 1
	}
	if q.MaxWidth == 0 {
		q.MaxWidth = 1
	}
	if q.Top < 0 || q.Top > MaxTop {
		return q, fmt.Errorf("top %d, want 1 to %d", q.Top, MaxTop)
	}
	if q.MaxWidth < 0 {
		return q, fmt.Errorf("widest cut %d, want at least 1", q.MaxWidth)
	}
	for _, host := range slices.Concat(q.Use, q.Avoid) {
		if !slices.Contains(hosts, host) {
			return q, fmt.Errorf("unknown host %.80q, want one of %q", host, hosts)
		}
	}
	return q, nil
}
