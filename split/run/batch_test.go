package run

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/split"
)

// chooses is the size that b takes most often for so many that wait, of many times in
// which a request of n together takes cost(n).
func chooses(b *batching, waiting int, cost func(n int) time.Duration) int {
	var taken []int
	for range 3000 {
		n := b.size(waiting)
		b.learn(n, cost(n))
		taken = append(taken, n)
	}
	slices.Sort(taken)
	return taken[len(taken)/2]
}

func TestTheFastestSizeOfABatchIsTaken(t *testing.T) {
	ms := time.Millisecond
	of := func(times ...time.Duration) func(int) time.Duration {
		return func(n int) time.Duration { return times[slices.Index([]int{1, 2, 4, 8}, n)] }
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		what          string
		most, waiting int
		cost          func(n int) time.Duration
		want          int
	}{
		{"more is faster", 8, 100, of(10*ms, 7*ms, 5*ms, 4*ms), 8},
		{"four are fastest", 8, 100, of(10*ms, 7*ms, 5*ms, 6*ms), 4},
		{"four save too little", 8, 100, of(1000*ms, 700*ms, 690*ms, 2000*ms), 2},
		{"more is slower", 8, 100, of(10*ms, 11*ms, 12*ms, 13*ms), 1},
		{"all the same", 8, 100, of(10*ms, 10*ms, 10*ms, 10*ms), 1},
		{"two are slower, four faster", 8, 100, of(10*ms, 11*ms, 7*ms, 8*ms), 4},
		{"noise", 8, 100, func(n int) time.Duration {
			return time.Duration((0.8 + 0.4*r.Float64()) * float64(of(10*ms, 8*ms, 5*ms, 9*ms)(n)))
		}, 4},
		{"a bound of 5", 5, 100, of(10*ms, 7*ms, 5*ms, 4*ms), 4},
		{"a bound of 1", 1, 100, of(10*ms, 7*ms, 5*ms, 4*ms), 1},
		{"half of 15", 8, 15, of(10*ms, 7*ms, 5*ms, 4*ms), 8},
		{"half of 14", 8, 14, of(10*ms, 7*ms, 5*ms, 4*ms), 4},
		{"half of 3", 8, 3, of(10*ms, 7*ms, 5*ms, 4*ms), 2},
		{"half of 2", 8, 2, of(10*ms, 7*ms, 5*ms, 4*ms), 1},
		{"alone", 8, 1, of(10*ms, 7*ms, 5*ms, 4*ms), 1},
	} {
		b := newBatching(c.most)
		if got := chooses(&b, c.waiting, c.cost); got != c.want {
			t.Errorf("%s: %d are computed together, want %d", c.what, got, c.want)
		}
		// Other work of the machine makes some sizes slow for a while.
		chooses(&b, c.waiting, of(10*ms, 90*ms, 100*ms, 1*ms))
		if got := chooses(&b, c.waiting, c.cost); got != c.want {
			t.Errorf("%s: %d are computed together after another time, want %d", c.what, got, c.want)
		}
	}
	var none batching
	if n := none.size(100); n != 1 {
		t.Errorf("without bounds %d are computed together", n)
	}
}

func TestABatchEndsBeforeTheDeadlinesOfItsRequests(t *testing.T) {
	b := newBatching(8)
	for _, n := range []int{1, 2, 4, 8} {
		b.learn(n, 0)
		b.learn(n, time.Hour) // each
	}
	for want, hours := range map[int][]int{
		8: {9, 9, 9, 9, 9, 9, 9, 9},
		4: {9, 9, 9, 5, 9, 9, 7, 9},
		2: {9, 9, 3, 9, 9, 9, 9, 9},
		1: {9, 1, 9, 9, 9, 9, 9, 9},
	} {
		var jobs []*job
		for _, h := range hours {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(h)*time.Hour)
			defer cancel()
			jobs = append(jobs, &job{ctx: ctx})
		}
		if got := b.within(jobs); got != want {
			t.Errorf("%d requests with %v hours left are computed together, want %d", got, hours, want)
		}
	}
}

// cache is what is near the processor of a host: the weights of one layer.
type cache struct {
	mu    sync.Mutex
	layer int
	hits  int
}

// cached is a layer whose weights take a time to come near the processor, and that then
// takes a quarter of it. It gives twice its input, but for some.
type cached struct {
	mix
	layer int
	host  *cache
}

// What cached does not double.
const (
	refused = -1
	panics  = -2
)

var errRefused = errors.New("refused")

func (o cached) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return graph.Kernel{Call: func(_ graph.Runner, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
		o.host.mu.Lock()
		hit := o.host.layer == o.layer
		o.host.layer = o.layer
		if hit {
			o.host.hits++
		}
		o.host.mu.Unlock()
		if !hit {
			time.Sleep(o.slow)
		}
		time.Sleep(o.slow / 4)
		switch in[0].F32()[0] {
		case refused:
			return nil, errRefused
		case panics:
			panic(errRefused)
		}
		y := in[0].Clone()
		for i := range y.F32() {
			y.F32()[i] *= 2
		}
		return []*tensor.Tensor{y}, nil
	}}, nil
}

// cachedGraph is a row of cached layers.
func cachedGraph(slow time.Duration) (*graph.Graph, *cache) {
	host := &cache{layer: -1}
	g := &graph.Graph{Name: "cached"}
	v := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{50}})
	for i := range layers {
		out, err := g.Add(fmt.Sprint("layer", i), cached{mix{slow}, i, host}, nil, []*graph.Value{v}, fmt.Sprint("v", i))
		if err != nil {
			panic(err)
		}
		v = out[0]
	}
	g.Outputs = []*graph.Value{v}
	return g, host
}

// doubled reports whether y is what cachedGraph makes of x.
func doubled(x, y *tensor.Tensor) bool {
	for i, v := range x.F32() {
		if y.F32()[i] != v*(1<<layers) {
			return false
		}
	}
	return y.Type.Equal(x.Type)
}

func TestRequestsThatWaitAreComputedTogetherWhereThatIsFaster(t *testing.T) {
	const each = layers * 5 * time.Millisecond // of a run alone
	interval := func(batch, depth int) (got time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			g, _ := cachedGraph(4 * time.Millisecond)
			e, err := (&Node{Name: "device", Threads: 1, Batch: batch}).Open(context.Background(), Deployment{Model: testModel(g), Stages: parse(t, "device:0-5")})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			s, err := e.Stream(StreamOptions{Depth: depth})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			in := [][]*tensor.Tensor{input(1), input(2), input(3)}
			var last time.Duration // when the span before ended
			var began time.Time
			many, err := MeasureStream(context.Background(), s, in, 4*depth+64, 200, func(i int, a Answer) {
				if !doubled(in[i%3][0], a.Outputs[0]) {
					t.Errorf("%d together: request %d is answered wrong", batch, i)
				}
				if began.IsZero() {
					began = a.Began
				}
				span := a.Spans[0]
				if at := a.Began.Sub(began) + span.At; at < last {
					t.Errorf("%d together: the span of request %d begins at %v, the one before ends at %v", batch, i, at, last)
				} else {
					last = at + span.Took
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			got = many.Interval()
		})
		return got
	}
	for _, c := range []struct {
		batch, depth int
		least, most  float64 // of the time alone
	}{
		{1, 16, 1, 1},
		{8, 1, 1, 1},
		{8, 4, 0.6, 0.76},     // one or two at a time, as few wait
		{4, 16, 0.4, 0.43},    // by fours
		{8, 16, 0.3, 0.43},    // by fours or eights
		{100, 40, 0.25, 0.34}, // by eights or sixteens
	} {
		if share := interval(c.batch, c.depth).Seconds() / each.Seconds(); share < c.least-1e-9 || share > c.most+1e-9 {
			t.Errorf("up to %d of %d together: each takes %.3f of the time alone, want %v to %v", c.batch, c.depth, share, c.least, c.most)
		}
	}
}

// unsteady is a layer that takes up to two fifths more or less than its time.
type unsteady struct {
	mix
	mu *sync.Mutex
	r  *rand.Rand
}

func (o unsteady) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return graph.Kernel{Steps: []graph.Step{{N: 1, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		o.mu.Lock()
		part := 0.6 + 0.8*o.r.Float64()
		o.mu.Unlock()
		time.Sleep(time.Duration(part * float64(o.slow)))
		copy(out[0].Raw, in[0].Raw)
		return nil
	}}}}, nil
}

// Requests that take as long together as alone are at times computed together, by
// chance or to see. Hosts of a row that take equally long are where it shows most.
func TestBatchesCostAPipelineNothing(t *testing.T) {
	interval := func(seed uint64, batch int) (got time.Duration) {
		w := simulated{
			op: func(slow time.Duration) graph.Op {
				return unsteady{mix{slow}, new(sync.Mutex), rand.New(rand.NewPCG(seed, 2))}
			},
			bandwidth: map[string]float64{wire("device", "edge"): 1e8, wire("device", "cloud"): 1e8, wire("edge", "cloud"): 1e8},
			chained:   true, batch: batch,
		}
		for range layers {
			w.layers = append(w.layers, 6*time.Millisecond)
		}
		synctest.Test(t, func(t *testing.T) {
			e, end := w.open(t, parse(t, "device:0-1,edge:2-3,cloud:4-5"))
			defer end()
			s, err := e.Stream(StreamOptions{Depth: int(seed%2) * 16})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			many, err := MeasureStream(context.Background(), s, [][]*tensor.Tensor{{tensortest.Random(1, 5000)}}, 2*s.Depth(), 300, nil)
			if err != nil {
				t.Fatal(err)
			}
			got = many.Interval()
		})
		return got
	}
	var one, together time.Duration
	for seed := range uint64(6) {
		one += interval(seed, 1)
		together += interval(seed, 8)
	}
	if together > one*103/100 {
		t.Errorf("an answer every %v, %v one by one", together/6, one/6)
	}
}

func TestABatchKeepsToTheMemoryOfADeployment(t *testing.T) {
	g := residual(0)
	open := func(memory int) *local {
		t.Helper()
		n := &Node{Name: "device", Threads: 1, Memory: memory}
		e, err := n.Open(context.Background(), Deployment{Model: testModel(g), Stages: parse(t, "device:0-2,device:3-5")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		return e.Runner.(pipeline)[0].(*local)
	}
	both := 0
	for _, s := range []split.Segment{{From: 0, To: 3}, {From: 3, To: 6}} {
		p, err := new(Node).compile(g, s, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		both += p.Memory()
	}
	first := open(0).plan.Memory()
	for _, c := range []struct{ memory, sizes int }{{both, 1}, {both + first - 1, 1}, {both + first, 2}, {both + 3*first, 3}, {1 << 30, 4}} {
		if got := len(open(c.memory).batch.sizes); got != c.sizes {
			t.Errorf("within %d bytes, of which %d are needed, %d sizes of batches, want %d", c.memory, both, got, c.sizes)
		}
	}
}

// Each of some clients has many requests in flight to one worker: some that fail,
// some that panic and some that are given up. The others are answered right.
func TestRequestsOfABatchFailAlone(t *testing.T) {
	const clients, requests, depth = 3, 120, 12
	g, host := cachedGraph(100 * time.Microsecond)
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": worker(t, "edge", g, func(n *Node) { n.Computing = 1 })}}
	var all sync.WaitGroup
	for c := range uint64(clients) {
		e, err := device.Open(context.Background(), Deployment{Model: testModel(g), Stages: split.Partition{{Host: "edge", Segment: split.Segment{From: 0, To: layers}}}})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		s, err := e.Stream(StreamOptions{Depth: depth})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		r := rand.New(rand.NewPCG(c, 1))
		ins, kinds := make([][]*tensor.Tensor, requests), make([]int, requests)
		for i := range ins {
			ins[i] = input(1000*c + uint64(i))
			switch kinds[i] = r.IntN(10); kinds[i] {
			case 0:
				ins[i][0].F32()[0] = refused
			case 1:
				ins[i][0].F32()[0] = panics
			}
		}
		all.Go(func() {
			for i := range ins {
				ctx := context.Background()
				if kinds[i] == 2 {
					short, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(3000))*time.Microsecond)
					t.Cleanup(cancel)
					ctx = short
				}
				if err := s.Submit(ctx, Request{ID: uint64(i), Inputs: ins[i]}); err != nil {
					if kinds[i] != 2 {
						t.Error(err)
					}
					kinds[i] = -1 // not submitted
				}
			}
			s.End()
		})
		all.Go(func() {
			for {
				a, err := s.Receive(context.Background())
				if err != nil {
					return
				}
				kind, i := kinds[a.ID], a.ID
				switch {
				case kind < 2 && (a.Err == nil || !errors.Is(a.Err, ErrRemote)):
					t.Errorf("client %d: bad request %d: got error %v, want one of the worker's", c, i, a.Err)
				case kind == 2 && a.Err != nil && !errors.Is(a.Err, context.DeadlineExceeded):
					t.Errorf("client %d: request %d with a deadline: got error %v", c, i, a.Err)
				case kind > 2 && a.Err != nil:
					t.Errorf("client %d: request %d: %v", c, i, a.Err)
				case a.Err == nil && !doubled(ins[i][0], a.Outputs[0]):
					t.Errorf("client %d: request %d is answered wrong", c, i)
				}
			}
		})
	}
	all.Wait()
	host.mu.Lock() // requests that were given up may still be computed
	defer host.mu.Unlock()
	if host.hits == 0 {
		t.Error("nothing was computed together")
	}
}
