package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"scission/bench/report"
	"scission/split"
)

func (a *app) reportCommand() *cobra.Command {
	var pl planning
	var output string
	var top int
	c := &cobra.Command{
		Use:   "report MODEL --profiles DIR --network FILE -o DIR",
		Short: "Draw profiles and plans",
		Long: `Draw, as PNG and SVG and on one HTML page that needs nothing beside it: time and
size per layer on each host; the best partitions, and running everything on one
host, as bars; latency against bandwidth with the partitions that are best
there.`,
		Example: "  scission report model.onnx --profiles profiles --network network.json -o report",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if output == "" {
				return usagef("where to? give -o DIR")
			}
			if top < 1 {
				return usagef("--top %d, want at least 1", top)
			}
			m, err := openModel(args[0], nil)
			if err != nil {
				return err
			}
			if err := m.portable(args[0]); err != nil {
				return err
			}
			pb, err := pl.problem(m)
			if err != nil {
				return err
			}
			page, err := makePage(pb, &pl, top)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(output, 0o755); err != nil {
				return err
			}
			var files []string
			for _, f := range page.Figures {
				paths, err := f.Write(output)
				if err != nil {
					return err
				}
				files = append(files, paths...)
			}
			index := filepath.Join(output, "index.html")
			if err := writeFile(index, page.Write); err != nil {
				return err
			}
			files = append(files, index)
			return a.print(map[string]any{"files": files}, func(w io.Writer) {
				for _, f := range files {
					fmt.Fprintln(w, f)
				}
			})
		},
	}
	pl.flags(c)
	c.Flags().StringVarP(&output, "output", "o", "", "folder `DIR` for the files")
	c.Flags().IntVar(&top, "top", 8, "show the best `N` partitions")
	return c
}

// makePage plans and draws.
func makePage(pb split.Problem, pl *planning, top int) (*report.Page, error) {
	best, err := pl.rank(pb, split.Query{Top: top, MaxWidth: pl.maxWidth})
	if err != nil {
		return nil, err
	}
	page := &report.Page{Title: "How to spread " + pb.Model.Name, Emulated: emulations(pb), Best: best}
	shown := slices.Clone(best)
	for _, host := range pb.Hosts {
		e, err := pb.Predict(split.Partition{{Host: host, Segment: split.Segment{From: 0, To: pb.Layers}}})
		if errors.Is(err, split.ErrNoLink) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(shown, func(s split.Estimate) bool { return s.Partition.String() == e.Partition.String() }) {
			shown = append(shown, e)
		}
		page.Profiles = append(page.Profiles, pb.Profiles[host])
		page.Figures = append(page.Figures, report.Layers(pb.Profiles[host]))
	}
	partitions, err := report.Partitions("the best partitions, and everything on one host", shown)
	if err != nil {
		return nil, err
	}
	page.Figures = append([]*report.Figure{partitions}, page.Figures...)
	if pb.Network != nil {
		bandwidth, err := report.Bandwidth(pb)
		if err != nil {
			return nil, err
		}
		page.Figures = append(page.Figures, bandwidth)
	}
	return page, nil
}
