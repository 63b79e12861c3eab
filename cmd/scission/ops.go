package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"scission/onnximport"
	"scission/ops"
)

// debianCases is where Debian's package libonnx-testdata puts the node cases.
const debianCases = "/usr/share/libonnx-testdata/data/node"

func (a *app) opsCommand() *cobra.Command {
	var coverage bool
	var dir string
	c := &cobra.Command{
		Use:   "ops",
		Short: "List the supported operators",
		Long: `List the supported operators with the opsets at which their meaning changes. Each
is supported from the first of these on, up to the newest opset known here.

With --coverage, run the ONNX test cases of a folder and show for each operator how
many of the cases that use it pass. Debian's package libonnx-testdata has such cases.`,
		Example: "  scission ops\n  scission ops --json\n  scission ops --coverage",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := ops.List()
			result := map[string]any{"operators": list, "max_opset": ops.MaxOpset}
			if !coverage {
				return a.print(result, func(w io.Writer) {
					table(w, "domain\toperator\topsets", func(row func(...any)) {
						for _, o := range list {
							row(o.Domain, o.Name, since(o))
						}
					})
				})
			}
			cover, err := a.cover(cmd.Context(), list, dir)
			if err != nil {
				return err
			}
			result["operators"], result["cases"] = cover.operators, cover.total
			return a.print(result, func(w io.Writer) {
				table(w, "domain\toperator\topsets\tpassed\tcases", func(row func(...any)) {
					for _, o := range cover.operators {
						row(o.Domain, o.Name, since(o.Info), o.Passed, o.All)
					}
				})
				fmt.Fprintf(w, "%d of %d cases passed\n", cover.total.Passed, cover.total.All)
			})
		},
	}
	c.Flags().BoolVar(&coverage, "coverage", false, "run test cases and count them")
	c.Flags().StringVar(&dir, "cases", debianCases, "folder of the test cases for --coverage")
	return c
}

// since gives the opsets of each meaning of an operator.
func since(o ops.Info) string {
	var list []string
	for i, s := range o.Since {
		last := ops.MaxOpset
		if i+1 < len(o.Since) {
			last = o.Since[i+1] - 1
		}
		list = append(list, fmt.Sprintf("%d-%d", s, last))
	}
	return strings.Join(list, ", ")
}

// tally counts cases.
type tally struct {
	Passed int `json:"passed"`
	All    int `json:"cases"`
}

func (t *tally) add(c caseReport) {
	t.All++
	if c.Status == passed {
		t.Passed++
	}
}

// covered is an operator with the cases that use it.
type covered struct {
	ops.Info
	tally
}

type coverage struct {
	operators []covered
	total     tally
}

// cover runs the cases in dir. Operators that are not supported come last.
func (a *app) cover(ctx context.Context, list []ops.Info, dir string) (coverage, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return coverage{}, usagef("%s: no such folder; on Debian, install libonnx-testdata, or give another one with --cases", dir)
	}
	cases, err := findCases([]string{dir})
	if err != nil {
		return coverage{}, err
	}
	var r coverage
	at := map[onnximport.Operator]int{}
	place := func(o onnximport.Operator) int {
		i, ok := at[o]
		if !ok {
			i = len(r.operators)
			at[o] = i
			r.operators = append(r.operators, covered{Info: ops.Info{Domain: o.Domain, Name: o.Name}})
		}
		return i
	}
	for _, o := range list {
		r.operators[place(onnximport.Operator{Domain: o.Domain, Name: o.Name})].Info = o
	}
	p := newProgress(a.err)
	defer p.clear()
	for i, c := range cases {
		report := verifyCase(ctx, c, conformance, 0)
		r.total.add(report)
		for _, o := range operatorsOf(c) {
			r.operators[place(o)].add(report)
		}
		p.update("cases", int64(i+1), int64(len(cases)))
	}
	return r, nil
}

// operatorsOf returns the operators that a case uses, with the long name of
// ai.onnx; none if the model cannot be read.
func operatorsOf(dir string) []onnximport.Operator {
	m, err := onnximport.Open(filepath.Join(dir, "model.onnx"), onnximport.Options{})
	if err != nil {
		return nil
	}
	defer m.Close()
	list := m.Operators()
	for i := range list {
		if list[i].Domain == "" {
			list[i].Domain = "ai.onnx"
		}
	}
	return list
}
