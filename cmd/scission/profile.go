package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"scission/split"
	"scission/split/run"
	"scission/transport"
)

func (a *app) profileCommand() *cobra.Command {
	var hosts, inputs []string
	var output, name string
	var threads int
	var insecure, skipLocal bool
	var o run.ProfileOptions
	c := &cobra.Command{
		Use:   "profile MODEL --host NAME=ADDR... -o DIR",
		Short: "Measure every layer of a model on this machine and on workers",
		Long: `Run a model on this machine and on each worker, measure every layer inside the
whole model, and how large what crosses each cut becomes with each codec and how
long coding takes. Each host's profile is written to DIR/NAME.json, which
"scission plan" reads.`,
		Example: "  scission profile model.onnx --host edge=127.0.0.1:7001 --host cloud=127.0.0.1:7002 -o profiles",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "" {
				return usagef("where to? give -o DIR")
			}
			if o.Runs < 1 || o.Warmup < 0 || o.MaxWidth < 1 {
				return usagef("--runs %d --warmup %d --max-width %d, want at least 1, 0 and 1", o.Runs, o.Warmup, o.MaxWidth)
			}
			peers, err := parsePeers(hosts)
			if err != nil {
				return err
			}
			m, in, err := openWithInputs(args[0], inputs, true)
			if err != nil {
				return err
			}
			if err := m.portable(args[0]); err != nil {
				return err
			}
			if err := os.MkdirAll(output, 0o755); err != nil {
				return err
			}
			p := newProgress(a.err)
			n := &run.Node{
				Name: name, Threads: threads, Machine: machine(threads), Peers: peers,
				Transport: transport.Options{Insecure: insecure}, Progress: p.update,
			}
			o.Inputs, o.Codecs = in, codecNames()
			names := hostNames(hosts)
			if !skipLocal {
				names = append([]string{name}, names...)
			}
			var profiles []*split.Profile
			for _, host := range names {
				o.Progress = func(done, of int) { p.update("profile on "+host, int64(done), int64(of)) }
				profile, err := n.Profile(cmd.Context(), m.Model, host, o)
				p.clear()
				if err != nil {
					return err
				}
				if err := writeFile(filepath.Join(output, host+".json"), profile.Write); err != nil {
					return err
				}
				profiles = append(profiles, profile)
			}
			return a.print(map[string]any{"profiles": profiles}, func(w io.Writer) { printProfiles(w, profiles, output) })
		},
	}
	f := c.Flags()
	f.StringArrayVar(&hosts, "host", nil, "`NAME=ADDR` of a worker")
	f.StringVarP(&output, "output", "o", "", "folder `DIR` for the profiles")
	f.StringVar(&name, "name", deviceName, "this machine's `NAME`")
	f.StringArrayVar(&inputs, "input", nil, "`NAME=FILE` for each input (.npy, .pb or random:SEED); codecs are measured on what the model makes of it")
	f.IntVar(&o.Runs, "runs", 10, "measured runs")
	f.IntVar(&o.Warmup, "warmup", 2, "runs before that")
	f.IntVar(&o.MaxWidth, "max-width", 1, "measure cuts that at most `N` tensors cross")
	f.BoolVar(&skipLocal, "no-local", false, "leave out this machine")
	insecureFlag(c, &insecure)
	threadsFlag(c, &threads)
	return c
}

// hostNames lists the names of NAME=ADDR flags in their order.
func hostNames(flags []string) []string {
	var names []string
	for _, f := range flags {
		if i := slices.Index([]byte(f), '='); i > 0 {
			names = append(names, f[:i])
		}
	}
	return names
}

func codecNames() []string {
	var names []string
	for _, c := range transport.Codecs() {
		names = append(names, c.Name())
	}
	return names
}

func printProfiles(w io.Writer, profiles []*split.Profile, dir string) {
	table(w, "host\tmedian\tmin\tsum of layers\tcuts\tprocessor\tkernels\tthreads\temulated", func(row func(...any)) {
		for _, p := range profiles {
			all := split.Segment{From: 0, To: len(p.Layers)}
			row(p.Host, ms(p.Whole.Median()), ms(p.Whole.Min()), ms(p.SegmentTime(all)), len(p.Cuts), p.Machine.CPU, p.Machine.ISA, p.Machine.Threads, orDash(p.Emulated))
		}
	})
	if dir != "" {
		fmt.Fprintf(w, "written to %s\n", dir)
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
