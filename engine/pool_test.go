package engine

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// steps is a job of steps with some pieces each, of a team. do is told the step, and the piece, that is done.
func steps(pieces []int, team int, do func(step, piece int) error) *job {
	j := &job{exec: make([]exec, team), lanes: []*lane{{}}}
	at := -1
	j.next = func(int) bool {
		if at++; at == len(pieces) || j.lanes[0].err.Load() != nil {
			return false
		}
		step := at
		j.pieces = pieces[step]
		j.step = &graph.Step{N: pieces[step], Do: func(_ *graph.Exec, _, _ []*tensor.Tensor, i int) error { return do(step, i) }}
		return true
	}
	return j
}

// counted is steps whose pieces are counted, and the counts.
func counted(pieces []int, team int) (*job, [][]atomic.Int32) {
	done := make([][]atomic.Int32, len(pieces))
	for i, n := range pieces {
		done[i] = make([]atomic.Int32, n)
	}
	return steps(pieces, team, func(step, piece int) error {
		done[step][piece].Add(1)
		return nil
	}), done
}

func checkDoneOnce(t *testing.T, done [][]atomic.Int32) {
	t.Helper()
	for step := range done {
		for i := range done[step] {
			if got := done[step][i].Load(); got != 1 {
				t.Fatalf("piece %d of %d of step %d was done %d times", i, len(done[step]), step, got)
			}
		}
	}
}

// TestEachPieceIsDoneOnceByAMemberOfTheTeam has more workers than there are
// cores, one of them not of the team, and steps of fewer pieces than workers.
func TestEachPieceIsDoneOnceByAMemberOfTheTeam(t *testing.T) {
	const team, jobs = 6, 300
	rng := rand.New(rand.NewPCG(3, 5))
	p := &pool{}
	p.team.Store(team)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for id := 1; id <= team; id++ {
		wg.Go(func() {
			for turns := 1; !stop.Load(); turns++ {
				p.take(id)
				wait(turns)
			}
		})
	}
	for range jobs {
		pieces := make([]int, rng.IntN(20))
		for i := range pieces {
			pieces[i] = 1 + rng.IntN(4*team)
		}
		j, done := counted(pieces, team)
		p.do(j)
		if err := j.lanes[0].err.Load(); err != nil {
			t.Fatal(*err)
		}
		checkDoneOnce(t, done)
	}
	stop.Store(true)
	wg.Wait()
}

// TestWorkersGoOnWithoutTheCaller has a caller whose thread the system takes
// away as soon as it has shared out the first step.
func TestWorkersGoOnWithoutTheCaller(t *testing.T) {
	const team = 3
	p := &pool{}
	p.team.Store(team)
	j, done := counted([]int{7, 1, 2, 30}, team)
	p.job = j
	p.post(0)
	for id := 1; !p.over.Load(); id = 3 - id {
		p.take(id)
	}
	checkDoneOnce(t, done)
}

func TestAnErrorEndsTheJob(t *testing.T) {
	bad := errors.New("bad")
	p := &pool{}
	p.team.Store(1)
	after := false
	j := steps([]int{2, 5, 1}, 1, func(step, piece int) error {
		after = after || step == 2
		if step == 1 && piece == 3 {
			return bad
		}
		return nil
	})
	p.do(j)
	if err := j.lanes[0].err.Load(); err == nil || *err != bad || after {
		t.Errorf("got error %v, and the step behind it done: %v", err, after)
	}
}
