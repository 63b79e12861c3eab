package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// Dynamic is a network whose inputs may have other types in each run, such as
// batches of several sizes. It has a plan for each list of types, compiled when it
// is first needed, and keeps those that were used last. Two plans share the
// constants that their graphs share and neither has packed. A Dynamic is safe for
// concurrent use.
type Dynamic struct {
	build   func(in []tensor.Type) (*graph.Graph, error)
	options Options
	limit   int

	mu    sync.Mutex
	plans []typedPlan // the last used at the end
}

// typedPlan is the plan for inputs of the given types, compiled by the first call.
type typedPlan struct {
	types []tensor.Type
	plan  func() (*Plan, error)
}

// DefaultPlans is how many plans a Dynamic keeps unless it is told otherwise.
const DefaultPlans = 8

// NewDynamic returns the network of which build gives the graph for inputs of
// given types, in the order of the inputs, which it must not change; it may be called
// concurrently. Each plan is compiled with o. At most limit plans are
// kept; 0 means DefaultPlans.
func NewDynamic(build func(in []tensor.Type) (*graph.Graph, error), o Options, limit int) *Dynamic {
	return &Dynamic{build: build, options: o, limit: cmp.Or(max(limit, 0), DefaultPlans)}
}

// Plan returns the plan for inputs of the given types. Errors are those of build
// and Compile.
func (d *Dynamic) Plan(in []tensor.Type) (*Plan, error) { return d.planFor(in)() }

func (d *Dynamic) planFor(in []tensor.Type) func() (*Plan, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := typedPlan{}
	if i := slices.IndexFunc(d.plans, func(p typedPlan) bool { return slices.EqualFunc(p.types, in, tensor.Type.Equal) }); i >= 0 {
		p = d.plans[i]
		d.plans = slices.Delete(d.plans, i, i+1)
	} else {
		for _, t := range in {
			p.types = append(p.types, tensor.Type{DType: t.DType, Shape: t.Shape.Clone()})
		}
		p.plan = sync.OnceValues(func() (*Plan, error) {
			g, err := d.build(p.types)
			if err != nil {
				return nil, err
			}
			return Compile(g, d.options)
		})
		if len(d.plans) == d.limit {
			d.plans = slices.Delete(d.plans, 0, 1)
		}
	}
	d.plans = append(d.plans, p)
	return p.plan
}

// NewSession returns a session, which has no memory before its first run.
func (d *Dynamic) NewSession() *DynamicSession { return &DynamicSession{network: d} }

// DynamicSession is the memory of one run at a time of a Dynamic: that of the plan
// that was run last. It is not safe for concurrent use; several sessions may run
// concurrently.
type DynamicSession struct {
	network *Dynamic
	types   []tensor.Type
	session *Session
}

// Run runs the plan for the types of the inputs. It reads the inputs and does not
// keep them. The results belong to the session and are valid until its next Run.
// When ctx ends, Run returns its error between two nodes. Other types than in the
// run before take time and memory for a new session, and, if no plan for them is
// kept, for compiling one.
func (s *DynamicSession) Run(ctx context.Context, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := s.fit(in); err != nil {
		return nil, err
	}
	return s.session.Run(ctx, in)
}

// run is Run on a team that is acquired, nil for the calling goroutine alone.
func (s *DynamicSession) run(ctx context.Context, in []*tensor.Tensor, team *pool) ([]*tensor.Tensor, error) {
	if err := s.fit(in); err != nil {
		return nil, err
	}
	return s.session.run(ctx, in, team)
}

// fit makes s.session one for inputs of the types of in.
func (s *DynamicSession) fit(in []*tensor.Tensor) error {
	s.types = s.types[:0]
	for i, t := range in {
		if t == nil {
			return fmt.Errorf("engine: input %d is missing", i)
		}
		s.types = append(s.types, t.Type)
	}
	p, err := s.network.Plan(s.types)
	clear(s.types)
	if err != nil {
		return err
	}
	if s.session == nil || s.session.plan != p {
		s.session = p.NewSession()
	}
	return nil
}
