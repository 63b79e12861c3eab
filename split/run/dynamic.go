package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"scission/engine/tensor"
)

// Dynamic runs a model whose inputs may have other types from run to run, such as
// batches of several sizes. It has an execution for each list of types, opened when
// it is first needed, and keeps open those that were used last. It is not safe for
// concurrent use.
type Dynamic struct {
	open  func(ctx context.Context, in []tensor.Type) (*Execution, error)
	limit int
	kept  []typedExecution // the last used at the end
}

var _ Runner = (*Dynamic)(nil)

type typedExecution struct {
	types []tensor.Type
	*Execution
}

// DefaultOpen is how many executions a Dynamic keeps open unless it is told
// otherwise. Each has memory here, and a connection to and memory on the hosts of
// its stages.
const DefaultOpen = 4

// NewDynamic returns the Runner of what open opens for inputs of given types, which
// it must not change; usually by Node.Open of a deployment of the graph that is built
// for them. At most limit executions are open; 0 means DefaultOpen.
func NewDynamic(open func(ctx context.Context, in []tensor.Type) (*Execution, error), limit int) *Dynamic {
	return &Dynamic{open: open, limit: cmp.Or(max(limit, 0), DefaultOpen)}
}

// Run runs the execution for the types of the inputs. One that fails is closed, and
// opened again when it is needed next.
func (d *Dynamic) Run(ctx context.Context, in []*tensor.Tensor) ([]*tensor.Tensor, []Span, error) {
	e, err := d.Execution(ctx, in)
	if err != nil {
		return nil, nil, err
	}
	out, spans, err := e.Run(ctx, in)
	if err != nil {
		last := len(d.kept) - 1
		err = errors.Join(err, d.kept[last].Close())
		d.kept = slices.Delete(d.kept, last, last+1)
		return nil, nil, err
	}
	return out, spans, nil
}

// Execution returns the execution for inputs like in, opened if it is not yet. It is
// not to be closed, and is valid until the next call of Run, Execution or Close.
func (d *Dynamic) Execution(ctx context.Context, in []*tensor.Tensor) (*Execution, error) {
	for i, t := range in {
		if t == nil {
			return nil, fmt.Errorf("run: input %d is missing", i)
		}
	}
	i := slices.IndexFunc(d.kept, func(e typedExecution) bool {
		return slices.EqualFunc(e.types, in, func(a tensor.Type, b *tensor.Tensor) bool { return a.Equal(b.Type) })
	})
	if i >= 0 {
		e := d.kept[i]
		d.kept = append(slices.Delete(d.kept, i, i+1), e)
		return e.Execution, nil
	}
	if len(d.kept) == d.limit {
		err := d.kept[0].Close()
		d.kept = slices.Delete(d.kept, 0, 1)
		if err != nil {
			return nil, err
		}
	}
	types := make([]tensor.Type, len(in))
	for i, t := range in {
		types[i] = tensor.Type{DType: t.DType, Shape: t.Shape.Clone()}
	}
	e, err := d.open(ctx, types)
	if err != nil {
		return nil, err
	}
	d.kept = append(d.kept, typedExecution{types, e})
	return e, nil
}

// Close ends all executions.
func (d *Dynamic) Close() error {
	var errs []error
	for _, e := range d.kept {
		errs = append(errs, e.Close())
	}
	d.kept = nil
	return errors.Join(errs...)
}
