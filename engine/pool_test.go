package engine

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// TestEachPieceIsDoneOnceByAMemberOfTheTeam has more workers than there are
// cores, one of them not of the team, and steps of fewer pieces than workers.
func TestEachPieceIsDoneOnceByAMemberOfTheTeam(t *testing.T) {
	const team, steps = 6, 3000
	rng := rand.New(rand.NewPCG(3, 5))
	p := &pool{}
	p.team.Store(team)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for id := 1; id <= team; id++ {
		wg.Go(func() {
			for !stop.Load() {
				p.take(id)
			}
		})
	}
	for range steps {
		n := 1 + rng.IntN(4*team)
		done := make([]atomic.Int32, n)
		j := &job{exec: make([]graph.Exec, team), pieces: n}
		j.step = &graph.Step{N: n, Do: func(_ *graph.Exec, _, _ []*tensor.Tensor, i int) error {
			done[i].Add(1)
			return nil
		}}
		p.do(j)
		if err := j.err.Load(); err != nil {
			t.Fatal(*err)
		}
		for i := range done {
			if got := done[i].Load(); got != 1 {
				t.Fatalf("piece %d of %d was done %d times", i, n, got)
			}
		}
	}
	stop.Store(true)
	wg.Wait()
}
