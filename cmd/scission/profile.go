package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scission/bench/zoo"
	"scission/split"
	"scission/split/run"
)

// allNetworks stands for every built-in network.
const allNetworks = zooPrefix + "all"

// profileJob is one network on one host.
type profileJob struct {
	Network string `json:"network"`
	Host    string `json:"host"`
	File    string `json:"file"`
	// Kept says that the profile was there before.
	Kept     bool            `json:"kept,omitempty"`
	Took     time.Duration   `json:"took_ns,omitempty"` // when it was made
	Error    string          `json:"error,omitempty"`   // why there is none
	Short    []string        `json:"short,omitempty"`
	Warnings []split.Warning `json:"warnings,omitempty"`
}

// profiler makes the profiles of a command line.
type profiler struct {
	node    *run.Node
	options run.ProfileOptions
	models  []string
	inputs  inputFlags
	hosts   []string
	output  string
	force   bool
	budget  time.Duration
	bar     *progress

	start    time.Time
	measured time.Duration // in the profiles that were made
	made     int
	jobs     []profileJob
	profiles []*split.Profile
}

func (a *app) profileCommand() *cobra.Command {
	var hosts []string
	var name string
	var threads int
	var skipLocal, lossy bool
	var sec security
	var p profiler
	o := &p.options
	c := &cobra.Command{
		Use:   "profile MODEL... --host NAME=ADDR... -o DIR",
		Short: "Measure every layer of models on this machine and on workers",
		Long: `Run models on this machine and on each worker, measure every layer inside the
whole model, and the whole without that; at each cut, how large what crosses it
becomes with each codec, how long coding takes, and what the cut adds to
computing. MODEL zoo:all stands for all built-in networks.

Each host's profile is written to DIR/HOST.json as soon as it is made, or with
several models to DIR/NETWORK/HOST.json: a folder has the profiles of one
network, as "scission plan --profiles" wants it. A profile that is there
already, of the same model, host and options, is kept; so a run that was
interrupted continues where it stopped. --force makes all again.

--budget bounds the time of all together. What is left of it is spread over what
is still to be measured, and what it left out is said. The overhead at the end
is how long each network took on each host, to send and to measure.

Codecs are measured on what the model makes of its inputs, which are random if
they are not given; "scission run --help" says what can be given. With --lossy
those are among them that change values.`,
		Example: `  scission profile model.onnx --host edge=127.0.0.1:7001 --host cloud=127.0.0.1:7002 -o profiles
  scission profile zoo:all --host edge=127.0.0.1:7001 --budget 10m -o profiles`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.output == "" {
				return usagef("where to? give -o DIR")
			}
			if o.Runs < 1 || o.Warmup < 0 || o.MaxWidth < 1 || p.budget < 0 {
				return usagef("--runs %d --warmup %d --max-width %d --budget %v, want at least 1, 0, 1 and 0", o.Runs, o.Warmup, o.MaxWidth, p.budget)
			}
			peers, err := parsePeers(hosts)
			if err != nil {
				return err
			}
			if err := notMyself(name, peers); err != nil {
				return err
			}
			if p.models, err = networkNames(args); err != nil {
				return err
			}
			if len(p.models) > 1 && len(p.inputs.files) > 0 {
				return usagef("--input is for one model, got %d", len(p.models))
			}
			p.hosts = hostNames(hosts)
			if !skipLocal {
				p.hosts = append([]string{name}, p.hosts...)
			}
			if len(p.hosts) == 0 {
				return usagef("--no-local and no --host: nothing to measure on")
			}
			connect, err := sec.options()
			if err != nil {
				return err
			}
			p.bar = newProgress(a.err)
			p.node = &run.Node{
				Name: name, Threads: threads, Machine: machine(threads), Peers: peers,
				Transport: connect, Progress: p.bar.update,
			}
			o.Codecs = codecNames()
			if lossy {
				o.Codecs = allCodecNames()
			}
			err = p.run(cmd.Context())
			p.bar.clear()
			if len(p.jobs) == 0 {
				return err
			}
			return errors.Join(err, a.print(map[string]any{"profiles": p.profiles, "overhead": p.jobs}, p.print))
		},
	}
	f := c.Flags()
	f.StringArrayVar(&hosts, "host", nil, "`NAME=ADDR` of a worker")
	f.StringVarP(&p.output, "output", "o", "", "folder `DIR` for the profiles")
	f.StringVar(&name, "name", deviceName, "this machine's `NAME`")
	p.inputs.flags(c)
	f.IntVar(&o.Runs, "runs", 10, "measured runs, and as many without the layers' times")
	f.IntVar(&o.Warmup, "warmup", 2, "runs before that")
	f.IntVar(&o.MaxWidth, "max-width", 1, "measure cuts that at most `N` tensors cross")
	f.BoolVar(&lossy, "lossy", false, "measure the codecs that change what they send, too, for scission plan --lossy")
	f.BoolVar(&skipLocal, "no-local", false, "leave out this machine")
	f.BoolVar(&p.force, "force", false, "make profiles again that are there already")
	f.DurationVar(&p.budget, "budget", 0, "time for everything, such as 10m; 0 is as long as it takes")
	sec.flags(c)
	threadsFlag(c, &threads)
	return c
}

// networkNames resolves zoo:all, and refuses models that would be written to
// the same folder.
func networkNames(args []string) ([]string, error) {
	var models []string
	for _, arg := range args {
		if arg != allNetworks {
			models = append(models, arg)
			continue
		}
		for _, n := range zoo.List() {
			models = append(models, zooPrefix+n.Name)
		}
	}
	folders := map[string]string{}
	for _, m := range models {
		if other, twice := folders[networkFolder(m)]; twice {
			return nil, usagef("models %s and %s have the same name", other, m)
		}
		folders[networkFolder(m)] = m
	}
	return models, nil
}

// networkFolder is where profiles of one of several models are.
func networkFolder(model string) string {
	if name, ok := strings.CutPrefix(model, zooPrefix); ok {
		return name
	}
	return strings.TrimSuffix(filepath.Base(model), filepath.Ext(model))
}

// run makes the profiles. What fails for one network or host does not keep the
// others from being measured.
func (p *profiler) run(ctx context.Context) error {
	p.start = time.Now()
	failed := 0
	for i, name := range p.models {
		dir := p.output
		if len(p.models) > 1 {
			dir = filepath.Join(p.output, networkFolder(name))
		}
		m, in, err := p.inputs.openOne(name, true)
		if err == nil {
			err = m.portable()
		}
		if err == nil {
			err = os.MkdirAll(dir, 0o755)
		}
		if err != nil {
			return err
		}
		p.options.Inputs = in
		for k, host := range p.hosts {
			j := profileJob{Network: networkFolder(name), Host: host, File: filepath.Join(dir, host+".json")}
			profile, err := p.job(ctx, &j, m, (len(p.models)-i)*len(p.hosts)-k)
			if ctx.Err() != nil {
				return fmt.Errorf("interrupted: %d of %d profiles are in %s, the same command makes the others: %w",
					len(p.profiles), len(p.models)*len(p.hosts), p.output, ctx.Err())
			}
			if errors.Is(err, errUsage) || err != nil && !errors.Is(err, errBudget) && len(p.models)*len(p.hosts) == 1 {
				return err
			}
			if err != nil {
				j.Error = err.Error()
				if !errors.Is(err, errBudget) {
					failed++
				}
			} else {
				j.Took, j.Short, j.Warnings = profile.Took, profile.Short, profile.Warnings()
				p.profiles = append(p.profiles, profile)
			}
			p.jobs = append(p.jobs, j)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d profiles were not made, the first: %w", failed, len(p.jobs), p.firstError())
	}
	return nil
}

func (p *profiler) firstError() error {
	i := slices.IndexFunc(p.jobs, func(j profileJob) bool { return j.Error != "" && j.Error != errBudget.Error() })
	return fmt.Errorf("%s on %s: %s", p.jobs[i].Network, p.jobs[i].Host, p.jobs[i].Error)
}

// errBudget is why a network was not measured on a host.
var errBudget = errors.New("not measured: the budget is used up")

// job makes one profile, or keeps the one that is there, when so many jobs are
// left with this one.
func (p *profiler) job(ctx context.Context, j *profileJob, m *model, left int) (*split.Profile, error) {
	if !p.force && len(p.inputs.files) == 0 {
		there, err := readProfile(j.File)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w (--force makes it again)", err)
		}
		if err == nil && p.complete(there, m, j.Host) {
			j.Kept = true
			return there, nil
		}
	}
	o := p.options
	if p.budget > 0 {
		rest := p.budget - time.Since(p.start)
		if rest <= 0 {
			return nil, errBudget
		}
		o.Budget = max(rest/time.Duration(left), 1)
	}
	start := time.Now()
	o.Progress = func(done, of int) { p.show(j, o, left, done, of, time.Since(start)) }
	profile, err := p.node.Profile(ctx, m.Model, j.Host, o)
	if err != nil {
		return nil, err
	}
	p.measured += time.Since(start)
	p.made++
	return profile, writeFile(j.File, profile.Write)
}

// show updates the progress bar. The time left is that of the profiles made
// until now, and this one, for each that is left.
func (p *profiler) show(j *profileJob, o run.ProfileOptions, left, done, of int, spent time.Duration) {
	what, before, of2 := "run", 0, o.Warmup+2*o.Runs
	if done > of2 {
		what, before, of2 = "cut", of2, of-of2
	}
	finished := float64(p.made) + float64(done)/float64(of)
	rest := time.Duration(float64(p.measured+spent) / finished * (float64(left) - float64(done)/float64(of)))
	if p.budget > 0 {
		rest = min(rest, max(p.budget-time.Since(p.start), 0))
	}
	total := len(p.models) * len(p.hosts)
	p.bar.update(fmt.Sprintf("%s on %s (%d of %d, about %v left), %s", j.Network, j.Host, total-left+1, total, rest.Round(time.Second), what),
		int64(done-before), int64(of2))
}

// complete says whether a profile is what would be made, but for its date.
func (p *profiler) complete(have *split.Profile, m *model, host string) bool {
	o := p.options
	if have.Model.Digest != m.Digest || have.Host != host || len(have.Short) > 0 || have.Warmup != o.Warmup || len(have.Whole) != o.Runs ||
		len(have.Layers) != len(m.Graph.Nodes) || host == p.node.Name && have.Machine.Threads != p.node.Machine.Threads {
		return false
	}
	for _, l := range have.Layers {
		if len(l.Samples) != o.Runs {
			return false
		}
	}
	return slices.EqualFunc(have.Cuts, positions(m.Graph, o.MaxWidth), func(c split.CutProfile, at split.Position) bool {
		return c.Position == at.P && !slices.ContainsFunc(o.Codecs, func(name string) bool {
			return !slices.ContainsFunc(c.Codecs, func(k split.CodecProfile) bool {
				return k.Name == name && len(k.Encode) == run.DefaultCodecRuns
			})
		})
	})
}

// readProfile reads a profile from a file. A file that is no profile is wrong
// usage.
func readProfile(path string) (*split.Profile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := split.ReadProfile(f, split.MaxProfileBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUsage, path, err)
	}
	return p, nil
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

// print writes the profiles, what is wrong with them, and the overhead.
func (p *profiler) print(w io.Writer) {
	printProfiles(w, p.profiles, p.output)
	for _, j := range p.jobs {
		for _, s := range j.Short {
			fmt.Fprintf(w, "cut short: %s on %s: %s\n", j.Network, j.Host, s)
		}
		for _, s := range j.Warnings {
			fmt.Fprintf(w, "warning: %s on %s: %v\n", j.Network, j.Host, s)
		}
	}
	title(w, "overhead")
	table(w, "network\t"+strings.Join(p.hosts, "\t"), func(row func(...any)) {
		for first := 0; first < len(p.jobs); first += len(p.hosts) {
			cells := []any{p.jobs[first].Network}
			for _, j := range p.jobs[first:min(first+len(p.hosts), len(p.jobs))] {
				switch {
				case j.Error != "":
					cells = append(cells, "-")
				case j.Kept:
					cells = append(cells, seconds(j.Took)+" (kept)")
				default:
					cells = append(cells, seconds(j.Took))
				}
			}
			row(cells...)
		}
	})
	for _, j := range p.jobs {
		if j.Error != "" {
			fmt.Fprintf(w, "%s on %s: %s\n", j.Network, j.Host, j.Error)
		}
	}
}

// seconds writes a duration that people wait for.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func printProfiles(w io.Writer, profiles []*split.Profile, dir string) {
	table(w, "network\thost\tmedian\tmin\tsum of layers\tcuts\tprocessor\tkernels\tthreads\temulated", func(row func(...any)) {
		for _, p := range profiles {
			all := split.Segment{From: 0, To: len(p.Layers)}
			row(p.Model.Name, p.Host, ms(p.Whole.Median()), ms(p.Whole.Min()), ms(p.SegmentTime(all)), len(p.Cuts), p.Machine.CPU, p.Machine.ISA, p.Machine.Threads, orDash(p.Emulated))
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
