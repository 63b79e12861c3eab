package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/split"
	"scission/split/cut"
	"scission/split/run"
	"scission/transport"
)

// accuracyReport is what "scission accuracy" finds, as its file has it.
type accuracyReport struct {
	Version string `json:"version"`
	split.Accuracy
}

// defaultCuts is how many cuts are measured if none are named.
const defaultCuts = 16

func (a *app) accuracyCommand() *cobra.Command {
	var data, preprocess, output string
	var cuts, codecs []string
	var maxWidth, examples, threads int
	var exact bool
	c := &cobra.Command{
		Use:   "accuracy MODEL --data FILE",
		Short: "Measure what codecs cost a classifier in accuracy",
		Long: `Run a classifier over a labelled set, unsplit and then for each cut and each codec
with what crosses the cut sent through the codec, in the frames in which it would
go to another host. An answer is right if the largest output is that of the label
(top-1). How many answers are those of the unsplit model is shown as well, and how
many bytes are sent for an example on average.

` + labelledHelp + `

The file that -o writes is for "scission plan --accuracy".`,
		Example: `  scission accuracy model.onnx --data test.npz -o accuracy.json
  scission accuracy model.onnx --data validation/ --cut 12,40,end --codec u8,u4 --examples 500
  scission plan model.onnx --accuracy accuracy.json --min-accuracy 0.9 --profiles profiles --network network.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if data == "" {
				return usagef("on what? give --data FILE")
			}
			if maxWidth < 1 || examples < 0 {
				return usagef("--max-width %d --examples %d, want at least 1 and 0", maxWidth, examples)
			}
			t := trial{bar: newProgress(a.err), node: &run.Node{Name: deviceName, Threads: 1, Exact: exact}, workers: threads}
			for _, name := range codecs {
				codec, err := transport.CodecByName(name)
				if err != nil {
					return fmt.Errorf("%w: %w", errUsage, err)
				}
				t.codecs = append(t.codecs, codec)
			}
			x, err := inputFlags{preprocess: preprocess}.open(args[0], true)
			if err != nil {
				return err
			}
			if err := t.open(x, data, examples); err != nil {
				return err
			}
			if err := t.model.portable(); err != nil {
				return err
			}
			places, err := cutsNamed(t.model.Graph, cuts, maxWidth)
			if err != nil {
				return err
			}
			r, err := t.measure(cmd.Context(), places)
			t.bar.clear()
			if err != nil {
				return err
			}
			if output != "" {
				if err := writeFile(output, r.Write); err != nil {
					return err
				}
			}
			return a.print(accuracyReport{split.AccuracyVersion, *r}, func(w io.Writer) {
				x.printPreprocess(w)
				printAccuracy(w, t.model.Graph, r)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&data, "data", "", "the labelled set: `FILE` or folder")
	f.StringSliceVar(&cuts, "cut", nil, fmt.Sprintf("`CUTS` by the number of layers before them, end for behind the last, or all; the default is up to %d of those that --max-width allows", defaultCuts))
	f.StringSliceVar(&codecs, "codec", allCodecNames(), "codecs")
	f.IntVar(&maxWidth, "max-width", 1, "cut where at most `N` tensors cross; for cuts that are not named")
	f.IntVar(&examples, "examples", 0, "only the first `N` examples; 0 is all")
	f.StringVar(&preprocess, "preprocess", "", "`SPEC` of pictures, such as \"size: 256, crop: 224\", or a .yaml file")
	f.StringVarP(&output, "output", "o", "", "write an accuracy `FILE` for scission plan")
	c.MarkFlagFilename("data", "npz", "txt", "csv")
	threadsFlag(c, &threads)
	c.Flags().Lookup("threads").Usage = "examples that are run at once; 0 is one for each core"
	exactFlag(c, &exact)
	return c
}

// cutsNamed finds cuts of g by what a flag says.
func cutsNamed(g *graph.Graph, names []string, maxWidth int) ([]cut.Cut, error) {
	narrow := cut.Find(g, maxWidth)
	if len(names) == 0 {
		return spread(narrow, defaultCuts), nil
	}
	if slices.Equal(names, []string{"all"}) {
		return narrow, nil
	}
	wanted := map[int]bool{}
	all := cut.Find(g, 0)
	for _, name := range names {
		p, err := strconv.Atoi(name)
		if name == "end" {
			p, err = len(g.Nodes), nil
		}
		if err != nil || !slices.ContainsFunc(all, func(c cut.Cut) bool { return c.Position == p }) {
			return nil, usagef("--cut %.80q, want numbers of 0 to %d, at which the model can be cut (scission inspect --cuts), end or all", name, len(g.Nodes))
		}
		wanted[p] = true
	}
	return slices.DeleteFunc(all, func(c cut.Cut) bool { return !wanted[c.Position] }), nil
}

// spread picks up to n of all at even distances, the first and the last among them.
func spread[T any](all []T, n int) []T {
	if len(all) <= n {
		return all
	}
	picked := make([]T, n)
	for i := range picked {
		picked[i] = all[i*(len(all)-1)/(n-1)]
	}
	return picked
}

// trial runs a classifier over a labelled set.
type trial struct {
	node    *run.Node
	model   *model
	set     *labelled
	codecs  []transport.Codec
	workers int // examples at once; 0 is one for each core
	bar     *progress
	output  int // that has the classes
	answers []int
}

// open takes the model and the labelled set, or the first examples of it, and
// checks that they fit each other.
func (t *trial) open(x *feed, data string, examples int) (err error) {
	t.model = x.model
	if len(x.inputs) != 1 {
		return usagef("model %s has the inputs %s, want one", x.model.Name, x.names())
	}
	if t.set, err = x.labelledSet(data); err != nil {
		return err
	}
	t.set.keep()
	if examples > 0 {
		t.set.labels = t.set.labels[:min(examples, len(t.set.labels))]
	}
	first, err := t.set.load(0)
	if err != nil {
		return err
	}
	if err := x.model.shape(map[string]tensor.Shape{x.inputs[0].Name: first.Shape}); err != nil {
		return fmt.Errorf("%w: --data %s: %w", errUsage, data, err)
	}
	if err := t.check(first); err != nil {
		return err
	}
	classes := 0
	t.output = slices.IndexFunc(t.model.Graph.Outputs, func(v *graph.Value) bool {
		rows, n := vectors(v.Shape, 1)
		classes = n
		return rows == 1
	})
	if t.output < 0 {
		return usagef("model %s is no classifier: none of its outputs is a vector", x.model.Name)
	}
	if most := slices.Max(t.set.labels); most >= classes {
		return usagef("--data %s has an example of class %d, output %q of model %s has %d classes", data, most, t.model.Graph.Outputs[t.output].Name, x.model.Name, classes)
	}
	return nil
}

// check makes sure that an example is what the model takes.
func (t *trial) check(in *tensor.Tensor) error {
	if want := t.model.Graph.Inputs[0]; !in.Type.Equal(want.Type) {
		return usagef("an example is %v, input %q of model %s is %v", in.Type, want.Name, t.model.Name, want.Type)
	}
	return nil
}

// measure runs the unsplit model and then all cuts and codecs.
func (t *trial) measure(ctx context.Context, cuts []cut.Cut) (*split.Accuracy, error) {
	layers := len(t.model.Graph.Nodes)
	r := &split.Accuracy{
		Model: split.Model{Name: t.model.Name, Digest: t.model.Digest}, Date: time.Now().UTC().Truncate(time.Second),
		Data: t.set.name, Examples: len(t.set.labels),
	}
	t.answers = make([]int, r.Examples)
	err := t.each(ctx, "unsplit", []split.Segment{{From: 0, To: layers}}, func(ctx context.Context, w *tester, i int, in []*tensor.Tensor) error {
		out, err := w.run(ctx, 0, in)
		if err == nil {
			t.answers[i] = t.answer(out)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, answer := range t.answers {
		if answer == t.set.labels[i] {
			r.Correct++
		}
	}
	for k, c := range cuts {
		found, err := t.at(ctx, c, fmt.Sprintf("cut %d (%d of %d)", c.Position, k+1, len(cuts)))
		if err != nil {
			return nil, err
		}
		r.Cuts = append(r.Cuts, found)
	}
	return r, nil
}

// at measures one cut: up to there each example is run once, and from there on
// once for what crosses as it is and once for each codec that changes it.
func (t *trial) at(ctx context.Context, c cut.Cut, title string) (split.CutAccuracy, error) {
	r := split.CutAccuracy{Position: c.Position, Bytes: int64(c.Bytes), Codecs: make([]split.CodecAccuracy, len(t.codecs))}
	for k, codec := range t.codecs {
		r.Codecs[k].Name = codec.Name()
	}
	var mu sync.Mutex
	parts := []split.Segment{{From: 0, To: c.Position}, {From: c.Position, To: len(t.model.Graph.Nodes)}}
	err := t.each(ctx, title, parts, func(ctx context.Context, w *tester, i int, in []*tensor.Tensor) error {
		crossing, err := w.run(ctx, 0, in)
		if err != nil {
			return err
		}
		for k, codec := range t.codecs {
			got, bytes, err := w.wire.send(ctx, crossing, codec)
			if err != nil {
				return fmt.Errorf("codec %s at cut %d: %w", codec.Name(), c.Position, err)
			}
			same := slices.EqualFunc(got, crossing, (*tensor.Tensor).Identical)
			if codec.Lossless() && !same {
				return fmt.Errorf("%w: codec %s is lossless, but changes what crosses cut %d in example %d", errMismatch, codec.Name(), c.Position, i)
			}
			answer := t.answers[i]
			if !same {
				out, err := w.run(ctx, 1, got)
				if err != nil {
					return err
				}
				answer = t.answer(out)
			}
			mu.Lock()
			tally := &r.Codecs[k]
			tally.WireBytes += int64(bytes)
			if answer == t.set.labels[i] {
				tally.Correct++
			}
			if answer == t.answers[i] {
				tally.Same++
			}
			mu.Unlock()
		}
		return nil
	})
	for k := range r.Codecs {
		r.Codecs[k].WireBytes /= int64(len(t.set.labels))
	}
	return r, err
}

// answer is the class of the largest output, the first of them if there are several.
func (t *trial) answer(out []*tensor.Tensor) int {
	best, class := math.Inf(-1), 0
	for i := range out[t.output].Shape.Elems() {
		if v := tensortest.At(out[t.output], i); v > best {
			best, class = v, i
		}
	}
	return class
}

// tester is what runs one example at a time: parts of the model, nil for those
// without layers, and a connection.
type tester struct {
	parts []*run.Execution
	wire  wire
}

// run runs part k. The results are valid until the next run of it.
func (w *tester) run(ctx context.Context, k int, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if w.parts[k] == nil {
		return in, nil
	}
	out, _, err := w.parts[k].Run(ctx, in)
	return out, err
}

// hire opens parts of the model for one tester.
func (t *trial) hire(ctx context.Context, parts []split.Segment) (*tester, error) {
	w := &tester{wire: newWire()}
	for _, s := range parts {
		var e *run.Execution
		if s.Len() > 0 {
			g, err := cut.Extract(t.model.Graph, s)
			if err == nil {
				e, err = t.node.Open(ctx, run.Deployment{Model: run.Model{Name: t.model.Name, Graph: g}, Stages: native(deviceName, g)})
			}
			if err != nil {
				return nil, errors.Join(err, w.close())
			}
		}
		w.parts = append(w.parts, e)
	}
	return w, nil
}

func (w *tester) close() error {
	err := w.wire.close()
	for _, e := range w.parts {
		if e != nil {
			err = errors.Join(err, e.Close())
		}
	}
	return err
}

// each calls visit for every example, on as many goroutines as there are
// testers. The first error ends all.
func (t *trial) each(ctx context.Context, title string, parts []split.Segment, visit func(ctx context.Context, w *tester, i int, in []*tensor.Tensor) error) error {
	n := len(t.set.labels)
	workers := t.workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, done atomic.Int64
	var all sync.WaitGroup
	for range min(workers, n) {
		all.Go(func() {
			w, err := t.hire(ctx, parts)
			if err != nil {
				cancel(err)
				return
			}
			defer w.close()
			for ctx.Err() == nil {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				in, err := t.set.load(i)
				if err == nil {
					err = t.check(in)
				}
				if err == nil {
					err = visit(ctx, w, i, []*tensor.Tensor{in})
				}
				if err != nil {
					cancel(err)
					return
				}
				t.bar.update(title, done.Add(1), int64(n))
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// wire is a connection from this process to itself, through which tensors go as
// they do to another host.
type wire struct{ near, far *transport.Conn }

func newWire() wire {
	near, far := net.Pipe()
	return wire{transport.NewConn(near, transport.Limits{}), transport.NewConn(far, transport.Limits{})}
}

// send sends tensors and receives them, and says how many bytes the frame has.
// What it returns is valid until the next time.
func (w wire) send(ctx context.Context, ts []*tensor.Tensor, codec transport.Codec) ([]*tensor.Tensor, int, error) {
	sent := make(chan error, 1)
	go func() {
		_, err := w.near.Send(ctx, &transport.Message{Tensors: ts}, func(int, *tensor.Tensor) transport.Codec { return codec })
		if err != nil {
			w.near.Close() // nothing more will come
		}
		sent <- err
	}()
	m, stats, err := w.far.Receive(ctx)
	if err != nil {
		w.far.Close()
	}
	if sendErr := <-sent; sendErr != nil {
		return nil, 0, sendErr
	}
	if err != nil {
		return nil, 0, err
	}
	return m.Tensors, stats.WireBytes, nil
}

func (w wire) close() error { return errors.Join(w.near.Close(), w.far.Close()) }

// printAccuracy writes an accuracy for people.
func printAccuracy(w io.Writer, g *graph.Graph, r *split.Accuracy) {
	share := func(n int) float64 { return 100 * float64(n) / float64(r.Examples) }
	fmt.Fprintf(w, "%s: %d of %d examples of %s right, top-1 %.2f %%\n", r.Model.Name, r.Correct, r.Examples, r.Data, share(r.Correct))
	table(w, "before layer\tbehind\tbytes\tcodec\tsent\ttop-1\tchange\tsame answers", func(row func(...any)) {
		for _, c := range r.Cuts {
			behind := "input"
			if c.Position > 0 {
				behind = printable(g.Nodes[c.Position-1].Name)
			}
			for _, k := range c.Codecs {
				row(c.Position, behind, c.Bytes, k.Name, k.WireBytes, fmt.Sprintf("%.2f %%", share(k.Correct)),
					fmt.Sprintf("%+.2f", share(k.Correct-r.Correct)), fmt.Sprintf("%.2f %%", share(k.Same)))
			}
		}
	})
}

// readAccuracy reads a file of "scission accuracy". A file that is none is wrong
// usage.
func readAccuracy(path string) (*split.Accuracy, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := split.ReadAccuracy(f, split.MaxAccuracyBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUsage, path, err)
	}
	return r, nil
}
