package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"scission/bench/report"
	"scission/split"
)

func (a *app) reportCommand() *cobra.Command {
	var pl planning
	var v validating
	var power []string
	var output string
	var top int
	var validate bool
	c := &cobra.Command{
		Use:   "report MODEL... --profiles DIR --network FILE -o DIR",
		Short: "Draw profiles and plans, and check predictions",
		Long: `Draw, as PNG and SVG and on one HTML page that needs nothing beside it: time and
size per layer on each host; the best partitions, and running everything on one
host, as bars; latency against bandwidth with the partitions that are best
there; and what no partition beats in latency and in bytes that leave the device
(with --power, also in energy). Of several models, DIR of --profiles has a folder
each, as "scission profile" makes them.

With --validate the profiles are not read but made, and the predictions checked:
partitions of each model are executed through real sockets, in rounds, by turns
with runs of the whole model. Without --host three hosts are this process, with
the links between them emulated and labelled so; with --host workers are used,
and links are measured (those between workers are read from --network). Rounds
in which other programs had more than 6 % of the processors are made again, up to
as many as --runs. A folder -o keeps each model's result; an interrupted
validation goes on where it stopped. zoo:all is all built-in networks.`,
		Example: `  scission report model.onnx --profiles profiles --network network.json -o report
  scission report zoo:resnet50 zoo:mobilenetv2 --profiles profiles --network preset:4g -o report
  scission report zoo:all --validate -o validation`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "" && !validate {
				return usagef("where to? give -o DIR")
			}
			if top < 1 {
				return usagef("--top %d, want at least 1", top)
			}
			models, err := networkNames(args)
			if err != nil {
				return err
			}
			if output != "" {
				if err := os.MkdirAll(output, 0o755); err != nil {
					return err
				}
			}
			if !validate {
				l := limits{objective: split.Latency.String(), power: power}
				page, err := plannedPage(models, &pl, &l, top)
				if err != nil {
					return err
				}
				return a.writePage(page, output)
			}
			v.maxWidth, v.network, v.output = pl.maxWidth, pl.network, output
			if !cmd.Flags().Changed("max-width") {
				v.maxWidth = validateWidth
			}
			if err := v.check(); err != nil {
				return err
			}
			v.log, v.progress = a.err, newProgress(a.err)
			list, err := v.validate(cmd.Context(), models)
			if err != nil {
				return err
			}
			totals := report.Total(list)
			if err := a.print(map[string]any{"networks": list, "totals": totals}, func(w io.Writer) { report.WriteValidations(w, list) }); err != nil {
				return err
			}
			if output == "" {
				return nil
			}
			if err := writeFile(filepath.Join(output, "validation.md"), func(w io.Writer) error { return report.WriteMarkdown(w, list) }); err != nil {
				return err
			}
			page, err := report.ValidationPage(list)
			if err != nil {
				return err
			}
			return (&app{out: a.err}).writePage(page, output)
		},
	}
	pl.flags(c)
	v.flags(c)
	f := c.Flags()
	f.StringVarP(&output, "output", "o", "", "folder `DIR` for the files")
	f.IntVar(&top, "top", 8, "show the best `N` partitions")
	f.BoolVar(&validate, "validate", false, "execute partitions and compare with their predictions")
	f.StringSliceVar(&power, "power", nil, "what a host takes: `HOST=WATTS`, or HOST=WATTS:JOULES for joules per byte sent and received")
	return c
}

// validateWidth is the default of --max-width of validations: NASNet is cut
// inside its body only where two tensors cross.
const validateWidth = 2

// writePage writes a page and its figures into a folder and lists the files.
func (a *app) writePage(page *report.Page, dir string) error {
	var files []string
	figures := slices.Clone(page.Figures)
	for _, s := range page.Sections {
		figures = append(figures, s.Figures...)
	}
	for _, f := range figures {
		paths, err := f.Write(dir)
		if err != nil {
			return err
		}
		files = append(files, paths...)
	}
	index := filepath.Join(dir, "index.html")
	if err := writeFile(index, page.Write); err != nil {
		return err
	}
	files = append(files, index)
	return a.print(map[string]any{"files": files}, func(w io.Writer) {
		for _, f := range files {
			fmt.Fprintln(w, f)
		}
	})
}

// plannedPage plans models from their profiles. Of several models each one's
// profiles are in a folder of its own.
func plannedPage(models []string, pl *planning, l *limits, top int) (*report.Page, error) {
	q := split.Query{Top: top, MaxWidth: pl.maxWidth}
	if err := l.fill(&q); err != nil {
		return nil, err
	}
	page := &report.Page{}
	root := pl.profiles
	for _, name := range models {
		m, err := openModel(name)
		if err != nil {
			return nil, err
		}
		if err := m.portable(); err != nil {
			return nil, err
		}
		own := *pl
		if len(models) > 1 && root != "" {
			own.profiles = filepath.Join(root, networkFolder(name))
		}
		pb, err := own.problem(m)
		if err != nil {
			return nil, err
		}
		section, err := makeSection(pb, &own, q)
		if err != nil {
			return nil, err
		}
		if len(models) > 1 {
			for _, f := range section.Figures {
				f.Name = networkFolder(name) + "-" + f.Name
			}
		}
		page.Sections = append(page.Sections, *section)
		for _, e := range emulations(pb) {
			if !slices.Contains(page.Emulated, e) {
				page.Emulated = append(page.Emulated, e)
			}
		}
	}
	page.Title = "How to spread " + page.Sections[0].Title
	if n := len(models); n > 1 {
		page.Title = fmt.Sprintf("How to spread %d networks", n)
	}
	return page, nil
}

// maxBeaten bounds the partitions that a figure shows besides a front.
const maxBeaten = 400

// makeSection plans and draws.
func makeSection(pb split.Problem, pl *planning, q split.Query) (*report.Section, error) {
	best, err := pl.rank(pb, q)
	if err != nil {
		return nil, err
	}
	s := &report.Section{Title: strings.TrimPrefix(pb.Model.Name, zooPrefix), Best: best}
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
		s.Profiles = append(s.Profiles, pb.Profiles[host])
		s.Figures = append(s.Figures, report.Layers(pb.Profiles[host]))
	}
	partitions, err := report.Partitions("the best partitions, and everything on one host", shown)
	if err != nil {
		return nil, err
	}
	s.Figures = append([]*report.Figure{partitions}, s.Figures...)
	if s.Verdict, err = verdict(pb, pl, best[0], q); err != nil {
		return nil, err
	}
	if pb.Network != nil {
		bandwidth, err := report.Bandwidth(pb)
		if err != nil {
			return nil, err
		}
		s.Figures = append(s.Figures, bandwidth)
	}
	against := []split.Objective{split.Egress}
	if len(q.Power) > 0 {
		against = append(against, split.Energy)
	}
	for _, o := range against {
		f, err := paretoFigure(pb, pl, q, o)
		if err != nil {
			return nil, err
		}
		s.Figures = append(s.Figures, f)
	}
	return s, nil
}

// verdict says whether to split, and what would change that.
func verdict(pb split.Problem, pl *planning, best split.Estimate, q split.Query) (string, error) {
	if !best.Native() {
		return fmt.Sprintf("Split: %v is fastest.", best.Partition), nil
	}
	text := fmt.Sprintf("Do not split: running everything on %s is fastest.", best.Partition[0].Host)
	q.Top, q.SplitOnly = 1, true
	only, err := pl.rank(pb, q)
	if errors.Is(err, split.ErrNoPartition) {
		return text, nil
	}
	if err != nil {
		return "", err
	}
	b, err := pl.breakEven(pb, q, only[0])
	if err != nil || b == nil {
		return text, err
	}
	return fmt.Sprintf("%s But %v.", text, b), nil
}

// paretoFigure draws the front of latency and another objective.
func paretoFigure(pb split.Problem, pl *planning, q split.Query, against split.Objective) (*report.Figure, error) {
	front, err := pl.front(pb, split.Query{MaxWidth: q.MaxWidth, Power: q.Power}, []split.Objective{split.Latency, against})
	if err != nil {
		return nil, err
	}
	all, err := pl.rank(pb, split.Query{Top: maxBeaten, MaxWidth: q.MaxWidth})
	if err != nil {
		return nil, err
	}
	others := slices.DeleteFunc(all, func(e split.Estimate) bool {
		return slices.ContainsFunc(front, func(f split.Estimate) bool { return f.Partition.String() == e.Partition.String() })
	})
	return report.Pareto(front, others, against, q.Power)
}
