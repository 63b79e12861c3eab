package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/onnximport"
	"scission/ops"
	"scission/split/run"
)

// Outcomes of a case.
const (
	passed      = "passed"
	failed      = "failed"      // a result is wrong
	unsupported = "unsupported" // the model needs what is not supported here
	errored     = "error"       // anything else went wrong
)

type caseReport struct {
	Name    string `json:"name"`
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
	Sets    int    `json:"sets"` // data sets that passed
}

type verifyReport struct {
	Passed      int          `json:"passed"`
	Failed      int          `json:"failed"`
	Unsupported int          `json:"unsupported"`
	Errors      int          `json:"errors"`
	Cases       []caseReport `json:"cases"`
}

// tolerance is how far results of a type may be from what is wanted.
type tolerance func(tensor.DType) (rtol, atol float64)

// conformance is the tolerance for which ONNX makes its test cases, but that
// numbers near zero may differ by more.
func conformance(tensor.DType) (rtol, atol float64) { return 1e-3, 1e-5 }

// usual is conformance, but wider for types of which a few roundings differ by more:
// some ten or, near 1, one of float16 and bfloat16.
func usual(d tensor.DType) (rtol, atol float64) {
	switch d {
	case tensor.Float16:
		return 1e-2, 1e-3
	case tensor.BFloat16:
		return 8e-2, 8e-3
	}
	return conformance(d)
}

func (a *app) verifyCommand() *cobra.Command {
	var rtol, atol float64
	var threads int
	c := &cobra.Command{
		Use:   "verify DIR...",
		Short: "Run ONNX backend test folders",
		Long: `Run test cases as ONNX keeps them: a folder with model.onnx and data sets
test_data_set_N, each with input_N.pb and output_N.pb. A DIR is such a folder, or
has such folders in it at any depth. A result passes where
|got - want| <= atol + rtol * |want| for every element. Results of float16 and
bfloat16 may differ by more unless a tolerance is given.`,
		Example: "  scission verify models/squeezenet\n  scission verify node --json --rtol 1e-4",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dirs, err := findCases(args)
			if err != nil {
				return err
			}
			tol := func(d tensor.DType) (float64, float64) {
				r, a := usual(d)
				if cmd.Flags().Changed("rtol") {
					r = rtol
				}
				if cmd.Flags().Changed("atol") {
					a = atol
				}
				return r, a
			}
			r := verifyReport{Cases: []caseReport{}}
			p := newProgress(a.err)
			for i, dir := range dirs {
				c := verifyCase(cmd.Context(), dir, tol, threads)
				switch c.Status {
				case passed:
					r.Passed++
				case failed:
					r.Failed++
				case unsupported:
					r.Unsupported++
				default:
					r.Errors++
				}
				r.Cases = append(r.Cases, c)
				if !a.json {
					p.clear()
					fmt.Fprintf(a.out, "%-11s %s", c.Status, c.Name)
					if c.Message != "" {
						fmt.Fprintf(a.out, ": %s", c.Message)
					}
					fmt.Fprintln(a.out)
				}
				p.update("cases", int64(i+1), int64(len(dirs)))
			}
			p.clear()
			if err := a.print(r, func(w io.Writer) {
				fmt.Fprintf(w, "%d passed, %d failed, %d unsupported, %d errors\n", r.Passed, r.Failed, r.Unsupported, r.Errors)
			}); err != nil {
				return err
			}
			switch {
			case r.Failed > 0:
				return fmt.Errorf("%w: %d of %d cases", errMismatch, r.Failed, len(dirs))
			case r.Errors > 0:
				return fmt.Errorf("%d of %d cases could not be run", r.Errors, len(dirs))
			}
			return nil
		},
	}
	defaultR, defaultA := usual(tensor.Float32)
	c.Flags().Float64Var(&rtol, "rtol", defaultR, "relative tolerance")
	c.Flags().Float64Var(&atol, "atol", defaultA, "absolute tolerance")
	threadsFlag(c, &threads)
	return c
}

// findCases returns the test folders in dirs, in order.
func findCases(dirs []string) ([]string, error) {
	var cases []string
	for _, dir := range dirs {
		before := len(cases)
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == "model.onnx" && !d.IsDir() {
				cases = append(cases, filepath.Dir(path))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(cases) == before {
			return nil, usagef("%s: no model.onnx in it", dir)
		}
	}
	return cases, nil
}

// setPrefix begins the name of a data set's folder.
const setPrefix = "test_data_set_"

// verifyCase runs all data sets of one folder.
func verifyCase(ctx context.Context, dir string, tol tolerance, threads int) caseReport {
	r := caseReport{Name: filepath.Base(dir), Status: passed}
	err := func() error {
		file, err := onnximport.Open(filepath.Join(dir, "model.onnx"), onnximport.Options{})
		if err != nil {
			return err
		}
		defer file.Close()
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), setPrefix) {
				continue
			}
			if err := verifySet(ctx, file, filepath.Join(dir, e.Name()), tol, threads); err != nil {
				return fmt.Errorf("%s: %w", e.Name(), err)
			}
			r.Sets++
		}
		if r.Sets == 0 {
			return fmt.Errorf("no %sN", setPrefix)
		}
		return nil
	}()
	switch {
	case err == nil:
		return r
	case errors.Is(err, errMismatch):
		r.Status = failed
	case errors.Is(err, ops.ErrUnsupported):
		r.Status = unsupported
	default:
		r.Status = errored
	}
	r.Message = err.Error()
	return r
}

func verifySet(ctx context.Context, file *onnximport.Model, set string, tol tolerance, threads int) error {
	declared := file.Inputs()
	in, err := readSeries(set, "input", declared)
	if err != nil {
		return err
	}
	want, err := readSeries(set, "output", file.Outputs())
	if err != nil {
		return err
	}
	if len(want) == 0 {
		return fmt.Errorf("no output_0.pb")
	}
	shapes := map[string]tensor.Shape{}
	for i, t := range in {
		shapes[declared[i].Name] = t.Shape
	}
	g, err := file.Graph(shapes)
	if err != nil {
		return err
	}
	n := &run.Node{Name: deviceName, Threads: threads}
	var out []*tensor.Tensor
	if len(g.Nodes) == 0 {
		// Everything is constant, so that there is no layer to run.
		for _, v := range g.Outputs {
			t := v.Const
			if t == nil {
				k := slices.Index(g.Inputs, v)
				if k < 0 || k >= len(in) {
					return fmt.Errorf("output %q is neither a constant nor one of the %d inputs", v.Name, len(in))
				}
				t = in[k]
			}
			out = append(out, t)
		}
	} else {
		e, err := n.Open(ctx, run.Deployment{Model: run.Model{Graph: g}, Stages: native(deviceName, g)})
		if err != nil {
			return err
		}
		defer e.Close()
		if out, _, err = e.Run(ctx, in); err != nil {
			return err
		}
	}
	if len(out) != len(want) {
		return fmt.Errorf("%w: got %d outputs, want %d", errMismatch, len(out), len(want))
	}
	for i := range want {
		rtol, atol := tol(want[i].DType)
		if err := tensortest.Diff(out[i], want[i], rtol, atol); err != nil {
			return fmt.Errorf("%w: output %q: %w", errMismatch, g.Outputs[i].Name, err)
		}
	}
	return nil
}

// readSeries reads kind_0.pb, kind_1.pb and so on, as far as they go: values of
// the declared inputs or outputs.
func readSeries(dir, kind string, declared []onnximport.Input) ([]*tensor.Tensor, error) {
	var ts []*tensor.Tensor
	for i := 0; ; i++ {
		path := filepath.Join(dir, fmt.Sprintf("%s_%d.pb", kind, i))
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return ts, nil
		}
		if i == len(declared) {
			return nil, fmt.Errorf("%s for a model that has %d %ss", path, i, kind)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		t, _, err := declared[i].Read(data, maxTensorFile)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if t.DType == tensor.Uint16 && declared[i].DType == tensor.BFloat16 {
			t.DType = tensor.BFloat16 // ONNX 1.12 writes the numbers so
		}
		ts = append(ts, t)
	}
}
