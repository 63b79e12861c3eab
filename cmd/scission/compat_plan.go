package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"scission/bench/zoo"
	"scission/split"
	"scission/split/compat"
)

// benchmarks is the flags of "plan" for data of the original Scission.
type benchmarks struct {
	folder string
	input  string
	notes  []string // what to know about the data
}

func (b *benchmarks) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&b.folder, "benchmarks", "", "folder `DIR` of the original Scission's benchmark files, TIER-NAME.dat, instead of profiles; MODEL is a network in them then, and layers have its numbers")
	f.StringVar(&b.input, "input-size", "150kB", "with --benchmarks, the `SIZE` of the input as it is sent, such as that of a compressed picture")
}

// open makes the problem of a MODEL argument, from profiles or from
// benchmarks of the original.
func (pl *planning) open(arg string) (split.Problem, error) {
	if pl.folder != "" {
		return pl.benchmarked(arg)
	}
	m, err := openModel(arg)
	if err != nil {
		return split.Problem{}, err
	}
	if err := m.portable(); err != nil {
		return split.Problem{}, err
	}
	return pl.problem(m)
}

// benchmarked makes the problem of a network in the original's benchmarks.
func (pl *planning) benchmarked(network string) (split.Problem, error) {
	if pl.profiles != "" {
		return split.Problem{}, usagef("--benchmarks and --profiles: want one of them")
	}
	input, err := parseBytes(pl.input)
	if err != nil {
		return split.Problem{}, usagef("--input-size: %w", err)
	}
	systems, err := compat.ReadFolder(os.DirFS(pl.folder))
	if errors.Is(err, split.ErrFormat) {
		return split.Problem{}, usagef("%s: %w", pl.folder, err)
	}
	if err != nil {
		return split.Problem{}, fmt.Errorf("%s: %w", pl.folder, err)
	}
	pb, err := systems.Problem(network, input)
	if err != nil {
		return pb, wrongUse{fmt.Errorf("%s: %w", pl.folder, err)}
	}
	if pl.source == deviceName && pb.Profiles[deviceName] == nil {
		if pl.source = pb.Source; pl.source == "" {
			return pb, usagef("%s has not one device but %d: give --source, one of %q", pl.folder, len(systems[compat.Device]), pb.Hosts)
		}
	}
	pb.Source = pl.source
	if i := slices.Index(pb.Hosts, pb.Source); i > 0 {
		pb.Hosts = slices.Insert(slices.Delete(pb.Hosts, i, i+1), 0, pb.Source)
	}
	pb.Codecs = pl.allowed()
	for t, list := range systems {
		for _, s := range list {
			if s.Models[network] == nil {
				pl.notes = append(pl.notes, fmt.Sprintf("%v %s is left out: it has no benchmark of %s", compat.Tier(t), s.Name, network))
			}
		}
	}
	untimed := systems.Untimed(network)
	for _, file := range slices.Sorted(maps.Keys(untimed)) {
		pl.notes = append(pl.notes, fmt.Sprintf("%s: %d of %d blocks took 0 s, by a clock too coarse for them", file, untimed[file], len(pb.Positions)-1))
	}
	if !nameLayers(&pb) {
		pl.notes = append(pl.notes, fmt.Sprintf("benchmarks do not say what the layers of %s compute: none counts as nonlinear, and what leaves %s as the input itself", network, pb.Source))
	}
	err = pl.connect(&pb)
	return pb, err
}

// nameLayers names the layers and operators of a network that is one of the
// zoo's, which the number of layers and the sizes of all outputs must confirm.
func nameLayers(pb *split.Problem) bool {
	g, err := zoo.Outline(pb.Model.Name)
	if err != nil {
		return false
	}
	layers := zoo.Layers(g)
	if len(layers)+1 != pb.Layers { // the input is layer 0
		return false
	}
	for _, p := range pb.Positions[1:] {
		if p.P < 2 || int64(layers[p.P-2].Out().Bytes()) != p.Bytes {
			return false
		}
	}
	for _, p := range pb.Profiles {
		p.Layers[0].Name, p.Layers[0].Op = zoo.InputName, "Input"
		for i, l := range layers {
			var ops []string
			for _, n := range l.Nodes {
				ops = append(ops, n.Op.String())
			}
			p.Layers[i+1].Name, p.Layers[i+1].Op = l.Name, strings.Join(ops, "+")
		}
	}
	return true
}
