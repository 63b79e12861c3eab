package split

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxWorkers is the largest number of workers of a tiled stage, which has at least two.
	MaxWorkers = 16
	// MaxShare is the largest share of a worker in a tiled stage.
	MaxShare = 1000
)

const (
	workerMark = "+" // between the workers of a tiled stage
	shareMark  = "*" // before a share
)

// Worker is a host of a tiled stage, and its share of the rows of the results in proportion to those of the
// others, 1 to MaxShare.
type Worker struct {
	Host  string
	Share int
}

// Tiled says whether several hosts share the rows of the stage's images.
func (s Stage) Tiled() bool { return strings.Contains(s.Host, workerMark) }

// Workers are the hosts of a tiled stage, as its Host names them: "edge1+edge2" for equal shares,
// "edge1*3+edge2*2" for others. It is nil for a stage that is not tiled or not valid.
func (s Stage) Workers() []Worker {
	if !s.Tiled() {
		return nil
	}
	ws, err := parseWorkers(s.Host)
	if err != nil {
		return nil
	}
	return ws
}

// WorkerStage is the tiled stage of workers on a segment.
func WorkerStage(ws []Worker, s Segment) Stage {
	var b strings.Builder
	for i, w := range ws {
		if i > 0 {
			b.WriteString(workerMark)
		}
		b.WriteString(w.Host)
		if w.Share != 1 {
			b.WriteString(shareMark + strconv.Itoa(w.Share))
		}
	}
	return Stage{b.String(), s}
}

// Shares are the workers' shares.
func Shares(ws []Worker) []int {
	shares := make([]int, len(ws))
	for i, w := range ws {
		shares[i] = w.Share
	}
	return shares
}

// CheckShares verifies that there are so many shares, of such sizes, as a tiled stage may have.
func CheckShares(shares []int) error {
	if len(shares) < 2 || len(shares) > MaxWorkers {
		return fmt.Errorf("%d workers, want 2 to %d", len(shares), MaxWorkers)
	}
	for _, s := range shares {
		if s < 1 || s > MaxShare {
			return fmt.Errorf("share %d, want 1 to %d", s, MaxShare)
		}
	}
	return nil
}

// parseWorkers reads the Host of a tiled stage.
func parseWorkers(text string) ([]Worker, error) {
	parts := strings.Split(text, workerMark)
	var ws []Worker
	for _, part := range parts[:min(len(parts), MaxWorkers+1)] {
		w, err := parseWorker(part)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(ws, func(v Worker) bool { return v.Host == w.Host }) {
			return nil, fmt.Errorf("worker %s is given twice", w.Host)
		}
		ws = append(ws, w)
	}
	return ws, CheckShares(Shares(ws))
}

// parseWorker reads "host" or "host*share".
func parseWorker(text string) (Worker, error) {
	host, share, shared := strings.Cut(text, shareMark)
	w := Worker{host, 1}
	if err := checkHost(host); err != nil {
		return w, err
	}
	if shared {
		n, err := strconv.ParseUint(share, 10, 16)
		if err != nil {
			return w, fmt.Errorf("worker %s has share %q, want 1 to %d", host, share, MaxShare)
		}
		w.Share = int(n)
	}
	return w, nil
}

// checkStageHost is checkHost, or checks the workers of a tiled stage.
func checkStageHost(host string) error {
	if !(Stage{Host: host}).Tiled() {
		return checkHost(host)
	}
	_, err := parseWorkers(host)
	return err
}

// Tiling knows the rows of a model's images; package split/tile has one. It may be used by several goroutines
// at once.
type Tiling interface {
	// Walk says what workers with the given shares do in a tiled stage that ends at a position, wherever the
	// stage begins: all that they compute and need is found by walking back from the rows that they give.
	Walk(to int, shares []int) ([]TileWork, error)
}

// TileWork is what one worker does in a tiled stage that ends at a position p.
type TileWork struct {
	// First is the first position where the stage can begin.
	First int
	// In and Out are the bytes that the worker needs, and gives, by the position where the stage begins, from 0 to
	// p; they count from First on.
	In, Out []int64
	// Work is how much of the time of each layer before p the worker's rows take, from 0 to about 1.
	Work []float64
}

// TileCost is what one worker of a tiled stage costs. There and Back are the transfers of its rows; they are
// zero for the source.
type TileCost struct {
	Host    string        `json:"host"`
	Share   int           `json:"share"`
	Compute time.Duration `json:"compute_ns"`
	There   *HopCost      `json:"there,omitempty"`
	Back    *HopCost      `json:"back,omitempty"`
}

// Time is from the begin of the stage until the source has what the worker gives.
func (c *TileCost) Time() time.Duration {
	d := c.Compute
	for _, h := range c.hops() {
		d += h.Time()
	}
	return d
}

func (c *TileCost) hops() []*HopCost {
	if c.There == nil {
		return nil
	}
	return []*HopCost{c.There, c.Back}
}

// errNoTiling is why a tiled stage has no price.
var errNoTiling = errors.New("the rows of the model are not known, which a tiled stage needs")

// tileStage prices a tiled stage: all workers work at once, each over a link of its own from the source, and the
// stage takes as long as the slowest. Each layer takes its time on the worker's host in proportion to TileWork.Work:
// to the rows that the worker computes, those in which it overlaps with others among them, and the weights that it
// reads for them.
func (t *tables) tileStage(s Stage) (StageCost, error) {
	c := StageCost{Host: s.Host, Segment: s.Segment}
	ws := s.Workers()
	if t.Tiling == nil {
		return c, errNoTiling
	}
	works, err := t.Tiling.Walk(s.Segment.To, Shares(ws))
	if err != nil {
		return c, err
	}
	for i, w := range ws {
		tile, err := t.tileCost(w, &works[i], s.Segment)
		if err != nil {
			return c, err
		}
		c.Tiles = append(c.Tiles, tile)
		c.Compute = max(c.Compute, tile.Time())
	}
	return c, nil
}

func (t *tables) tileCost(w Worker, work *TileWork, s Segment) (TileCost, error) {
	c := TileCost{Host: w.Host, Share: w.Share}
	host := t.host(w.Host)
	if host == nil {
		return c, fmt.Errorf("host %s has no profile", w.Host)
	}
	if s.From < work.First {
		return c, fmt.Errorf("layers %v cannot be tiled: those up to layer %d cannot", s, work.First-1)
	}
	if work.Out[s.From] == 0 {
		return c, fmt.Errorf("%s gets no row of the results of layers %v", w.Host, s)
	}
	times := 0.0
	for l := s.From; l < s.To; l++ {
		times += work.Work[l] * float64(host.elapsed[l+1]-host.elapsed[l])
	}
	times += work.Work[s.From]*float64(host.enter[s.From]) + work.Work[s.To-1]*float64(host.leave[s.To])
	c.Compute = time.Duration(math.Round(times))
	if w.Host == t.Source {
		return c, nil
	}
	var err error
	if c.There, err = t.pricePart(Hop{From: t.Source, To: w.Host, Position: s.From, Tile: true}, work.In[s.From]); err != nil {
		return c, err
	}
	c.Back, err = t.pricePart(Hop{From: w.Host, To: t.Source, Position: s.To, Tile: true}, work.Out[s.From])
	return c, err
}

// RankTiled is Rank for partitions with one or more stages that are tiled over the given hosts, at least two. Before
// and between them the source may compute, and behind them the source and then one of Hosts, each or neither of
// them. The shares of a tiled stage are equal, or in proportion to the speeds of the workers before the place where
// it ends. The first of the results is the best of all of these; the others have other tiled stages, each with the
// best that can be behind the last of them. The query's Top, MaxWidth, MaxTotal, Avoid and NoCodecs hold; a query
// with another objective than latency or with other limits is an error. The Problem needs a Tiling.
//
// With k other hosts, m positions and n layers it takes O(km² + m²n) steps, and O(m) walks of the Tiling.
func (pb Problem) RankTiled(q Query, workers []string) ([]Estimate, error) {
	best, err := pb.rankTiled(q, workers)
	if err != nil {
		return nil, fmt.Errorf("split: rank tiled stages over %s: %w", strings.Join(workers, workerMark), err)
	}
	return best, nil
}

func (pb Problem) rankTiled(q Query, workers []string) ([]Estimate, error) {
	if pb.Tiling == nil {
		return nil, errNoTiling
	}
	t, err := pb.tables()
	if err != nil {
		return nil, err
	}
	q, err = q.check(t.Hosts, t.Source)
	if err != nil {
		return nil, err
	}
	if q.Objective != Latency || q.Accuracy != nil || len(q.Use)+len(q.Compute)+len(q.Memory)+len(q.Upload)+len(q.Layers)+q.Nonlinear > 0 {
		return nil, errors.New("tiled stages are ranked by latency, without limits for hosts, layers and accuracy")
	}
	for _, w := range workers {
		if t.host(w) == nil {
			return nil, fmt.Errorf("host %s has no profile", w)
		}
		if slices.Contains(q.Avoid, w) {
			return nil, fmt.Errorf("host %s is to be avoided", w)
		}
	}
	s := tileSearch{tables: t.without(q.NoCodecs), query: q, workers: workers}
	if err := CheckShares(equalShares(len(workers))); err != nil {
		return nil, err
	}
	ways, err := s.run()
	if err != nil {
		return nil, err
	}
	var best []Estimate
	for _, w := range ways {
		e, err := s.estimate(w.stages)
		if err != nil {
			return nil, err
		}
		if q.MaxTotal == 0 || e.Total <= q.MaxTotal {
			best = append(best, e)
		}
	}
	slices.SortFunc(best, Estimate.compare)
	if len(best) == 0 {
		return nil, ErrNoPartition
	}
	return best[:min(len(best), q.Top)], nil
}

// equalShares is n equal shares.
func equalShares(n int) []int {
	shares := make([]int, n)
	for i := range shares {
		shares[i] = 1
	}
	return shares
}

// tileSearch is a search for the places of tiled stages.
type tileSearch struct {
	*tables
	query   Query
	workers []string
	behind  []way   // by position: the best way on from there, where the source has the data, without tiled stages
	tiled   [][]way // by position: the best, first to last, that begin with a tiled stage
}

// way is stages behind a position, and their time with all hops. Without stages, except at the end, there is none.
type way struct {
	stages Partition
	time   time.Duration
}

func (s *tileSearch) allowed(host string) bool { return !slices.Contains(s.query.Avoid, host) }

// possible says whether a way goes on from a position to the end.
func (s *tileSearch) possible(w way, position int) bool {
	return len(w.stages) > 0 || position == s.Layers
}

// sourceComputes says whether stages may be on the source.
func (s *tileSearch) sourceComputes() bool { return s.host(s.Source) != nil && s.allowed(s.Source) }

// run finds the best ways from the beginning.
func (s *tileSearch) run() ([]way, error) {
	var at []int // positions
	for _, p := range s.order {
		if p.P == 0 || p.P == s.Layers || p.Width <= s.query.MaxWidth {
			at = append(at, p.P)
		}
	}
	if err := s.goOn(at); err != nil {
		return nil, err
	}
	s.tiled = make([][]way, s.Layers+1)
	// All ways on from an end are known before stages that end there are tried.
	for i := len(at) - 1; i > 0; i-- {
		for _, shares := range s.shares(at[i]) {
			if err := s.end(at[:i], at[i], shares); err != nil {
				return nil, err
			}
		}
	}
	return s.from(0, at), nil
}

// from returns the best ways on from a position with a tiled stage among them.
func (s *tileSearch) from(position int, at []int) []way {
	best := slices.Clone(s.tiled[position])
	if !s.sourceComputes() {
		return best
	}
	for _, next := range at {
		if next <= position {
			continue
		}
		here := Segment{position, next}
		took := s.host(s.Source).compute(here)
		for _, w := range s.tiled[next] {
			best = s.keep(best, way{append(Partition{{s.Source, here}}, w.stages...), took + w.time})
		}
	}
	return best
}

// shares returns the shares that are tried for a stage that ends at a position.
func (s *tileSearch) shares(to int) [][]int {
	equal, speeds := equalShares(len(s.workers)), equalShares(len(s.workers))
	fastest := math.Inf(1)
	for _, w := range s.workers {
		fastest = min(fastest, max(1, float64(s.host(w).elapsed[to])))
	}
	same := true
	for i, w := range s.workers {
		speeds[i] = max(1, int(math.Round(shareSteps*fastest/max(1, float64(s.host(w).elapsed[to])))))
		same = same && speeds[i] == speeds[0]
	}
	if same {
		return [][]int{equal}
	}
	for n := shareSteps; n > 1; n-- {
		if !slices.ContainsFunc(speeds, func(v int) bool { return v%n != 0 }) {
			for i := range speeds {
				speeds[i] /= n
			}
		}
	}
	return [][]int{equal, speeds}
}

// shareSteps is how finely shares follow speeds.
const shareSteps = 12

// goOn finds the best ways on from each position without tiled stages.
func (s *tileSearch) goOn(at []int) error {
	s.behind = make([]way, s.Layers+1)
	try := func(from int, stages ...Stage) error {
		w := way{stages: stages}
		for _, st := range stages {
			w.time += s.host(st.Host).compute(st.Segment)
		}
		for _, h := range Hops(stages, s.Source, s.Network.Linked) {
			price, err := s.price(h)
			if errors.Is(err, ErrNoLink) {
				return nil
			}
			if err != nil {
				return err
			}
			w.time += price.Time()
		}
		if have := &s.behind[from]; len(have.stages) == 0 || cmp.Or(cmp.Compare(w.time, have.time), cmp.Compare(len(w.stages), len(have.stages))) < 0 {
			*have = w
		}
		return nil
	}
	for _, from := range at[:len(at)-1] {
		rest := Segment{from, s.Layers}
		var ways []Partition
		if s.sourceComputes() {
			ways = append(ways, Partition{{s.Source, rest}})
		}
		for _, h := range s.Hosts {
			if h == s.Source || !s.allowed(h) {
				continue
			}
			ways = append(ways, Partition{{h, rest}})
			for _, next := range at {
				if s.sourceComputes() && from < next && next < s.Layers {
					ways = append(ways, Partition{{s.Source, Segment{from, next}}, {h, Segment{next, s.Layers}}})
				}
			}
		}
		for _, stages := range ways {
			if err := try(from, stages...); err != nil {
				return err
			}
		}
	}
	return nil
}

// end tries tiled stages that begin at one of some positions and end at another.
func (s *tileSearch) end(at []int, to int, shares []int) error {
	works, err := s.Tiling.Walk(to, shares)
	if err != nil {
		return err
	}
	ws := make([]Worker, len(s.workers))
	for i, host := range s.workers {
		ws[i] = Worker{host, shares[i]}
	}
	var next []way // on from the end
	if s.possible(s.behind[to], to) {
		next = append(next, s.behind[to])
	}
	next = append(next, s.from(to, s.later(to))...)
	for _, from := range at {
		segment := Segment{from, to}
		slowest, possible := time.Duration(0), true
		for i := range ws {
			c, err := s.tileCost(ws[i], &works[i], segment)
			if err != nil { // no rows, or no link
				possible = false
				break
			}
			slowest = max(slowest, c.Time())
		}
		for _, w := range next {
			if possible {
				s.tiled[from] = s.keep(s.tiled[from], way{append(Partition{WorkerStage(ws, segment)}, w.stages...), slowest + w.time})
			}
		}
	}
	return nil
}

// later returns the positions of tiled stages behind one.
func (s *tileSearch) later(position int) (at []int) {
	for p := position + 1; p < len(s.tiled); p++ {
		if len(s.tiled[p]) > 0 {
			at = append(at, p)
		}
	}
	return at
}

// keep adds a way to the best, and keeps no more than are asked for.
func (s *tileSearch) keep(best []way, w way) []way {
	i, _ := slices.BinarySearchFunc(best, w, func(a, b way) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(len(a.stages), len(b.stages)), -1)
	})
	if i < s.query.Top && len(w.stages) <= MaxStages {
		best = slices.Insert(best, i, w)
	}
	return best[:min(len(best), s.query.Top)]
}
