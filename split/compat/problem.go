package compat

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"time"

	"scission/split"
)

// headerBytes is what an .npy file has before the data; the original counts it as output.
const headerBytes = 128

// Problem is what the benchmarks say about a network, for package split to answer correctly what
// [Systems.Answer] answers as the original does. input is the number of bytes that carry the input of the
// network, such as those of a compressed picture.
//
// Layers have the numbers that the original gives them, and the network can be cut where it is between two
// blocks. The time of a block counts for its last layer, its output has the bytes of the data without the
// file's header; names and operators of layers are not in the benchmarks and left empty. Every system that has
// the network is a host, in the order of the tiers; the source is the device if there is one only, and left
// empty otherwise. The problem's Network is left to the caller.
//
// Errors wrap [split.ErrFormat] where systems contradict each other or a value is too large, and name the
// file; [ErrUsage] if no system has the network.
func (all *Systems) Problem(model string, input int64) (split.Problem, error) {
	pb, err := all.problem(model, input)
	if err != nil {
		return split.Problem{}, fmt.Errorf("compat: %w", err)
	}
	return pb, nil
}

func (all *Systems) problem(model string, input int64) (split.Problem, error) {
	pb := split.Problem{Profiles: map[string]*split.Profile{}}
	var blocks []Block // of the first system
	var file string    // from which they are
	for t := range all {
		for i := range all[t] {
			s := &all[t][i]
			own, ok := s.Models[model]
			if !ok {
				continue
			}
			name := s.file(Tier(t))
			if blocks == nil {
				blocks, file = own, name
				pb.Model = split.Model{Name: model, Digest: digest(model, blocks)}
				pb.Layers = blocks[len(blocks)-1].Last + 1
			}
			if !sameBlocks(blocks, own) {
				return pb, fmt.Errorf("%s: %w: other blocks of network %.40q than %s", name, split.ErrFormat, model, file)
			}
			if pb.Profiles[s.Name] != nil {
				return pb, fmt.Errorf("%s: %w: a second system named %s", name, split.ErrFormat, s.Name)
			}
			p, err := s.profile(pb, own)
			if err != nil {
				return pb, fmt.Errorf("%s: %w: network %.40q: %w", name, split.ErrFormat, model, err)
			}
			pb.Hosts = append(pb.Hosts, s.Name)
			pb.Profiles[s.Name] = p
		}
	}
	if blocks == nil {
		names := all.names()
		if len(names) == 0 {
			return pb, fmt.Errorf("%w: no benchmarks, want files such as device-NAME.dat", ErrUsage)
		}
		return pb, fmt.Errorf("%w: unknown network %.40q, want one of %q", ErrUsage, model, names)
	}
	var err error
	if pb.Positions, err = positions(blocks, input); err != nil {
		return pb, fmt.Errorf("%s: %w: network %.40q: %w", file, split.ErrFormat, model, err)
	}
	if len(all[Device]) == 1 {
		pb.Source = all[Device][0].Name
	}
	return pb, nil
}

// file is the name of the system's benchmark file as the original writes it.
func (s *System) file(t Tier) string { return t.String() + "-" + s.Name + ".dat" }

// names are the networks of all systems, each once.
func (all *Systems) names() []string {
	var names []string
	for _, systems := range all {
		for _, s := range systems {
			for name := range s.Models {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// sameBlocks says whether two systems were measured with the same blocks.
func sameBlocks(a, b []Block) bool {
	return slices.EqualFunc(a, b, func(a, b Block) bool { a.Seconds = b.Seconds; return a == b })
}

// digest identifies a network by its name and its blocks.
func digest(model string, blocks []Block) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q", model)
	for _, b := range blocks {
		fmt.Fprintf(h, " %d-%d:%d", b.First, b.Last, b.Bytes)
	}
	return "blocks-" + hex.EncodeToString(h.Sum(nil))
}

// positions are the cuts before and behind the blocks.
func positions(blocks []Block, input int64) ([]split.Position, error) {
	if first := blocks[0].First; first != 0 {
		return nil, fmt.Errorf("block 0 begins with layer %d, want 0", first)
	}
	list := []split.Position{{P: 0, Bytes: input, Width: 1}}
	for i, b := range blocks {
		if b.Bytes < headerBytes || b.Bytes-headerBytes > split.MaxBytes {
			return nil, fmt.Errorf("block %d: output of %d bytes, want %d to %d", i, b.Bytes, headerBytes, int64(split.MaxBytes+headerBytes))
		}
		list = append(list, split.Position{P: b.Last + 1, Bytes: b.Bytes - headerBytes, Width: 1})
	}
	return list, nil
}

// profile is a system's times of a network.
func (s *System) profile(pb split.Problem, blocks []Block) (*split.Profile, error) {
	if pb.Layers > split.MaxLayers {
		return nil, fmt.Errorf("%d layers, want at most %d", pb.Layers, split.MaxLayers)
	}
	p := &split.Profile{Model: pb.Model, Host: s.Name, Layers: make([]split.LayerProfile, pb.Layers)}
	samples := make(split.Samples, pb.Layers)
	for i := range p.Layers {
		p.Layers[i].Samples = samples[i : i+1 : i+1]
	}
	for i, b := range blocks {
		took := math.Round(b.Seconds * float64(time.Second))
		if took > float64(split.MaxSample) {
			return nil, fmt.Errorf("block %d: second_prediction is %g s, want at most %v", i, b.Seconds, split.MaxSample)
		}
		samples[b.Last] = time.Duration(took)
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return p, nil
}

// Untimed counts the blocks of a network that took no time on a system, by the names of the benchmark files:
// its clock was too coarse for them. Files without such blocks are left out.
func (all *Systems) Untimed(model string) map[string]int {
	counts := map[string]int{}
	for t := range all {
		for i := range all[t] {
			s := &all[t][i]
			for _, b := range s.Models[model] {
				if b.Seconds == 0 {
					counts[s.file(Tier(t))]++
				}
			}
		}
	}
	return counts
}
