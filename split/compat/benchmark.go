package compat

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strings"

	"scission/split"
)

const (
	// MaxBenchmarkBytes is a limit for ReadBenchmark that no sensible file reaches: the original's hold 18
	// networks in 30 kB. A file of this size takes at most a few hundred MB to read, and one of the usual
	// form about twenty times its size.
	MaxBenchmarkBytes = 4 << 20
	// MaxBlocks is the largest number of blocks of a network.
	MaxBlocks = 4096
	// maxSystems is the largest number of benchmark files in a folder.
	maxSystems = 256
	// maxSeconds and maxBytes bound a block's time and output, so that every sum is exact or finite.
	maxSeconds = 1e9
	maxBytes   = 1 << 50
)

// Block is a run of layers between two places where the original can cut, as measured on one system.
type Block struct {
	First, Last int     // layers, both included
	Seconds     float64 // mean time
	Bytes       int64   // of the output, as an .npy file
}

// ReadBenchmark reads one of the original's benchmark files, of at most limit bytes: a pickle, of protocol 0
// to 5, of a dict from names of networks to lists of LayerBenchmark. It returns the blocks of each network,
// which follow one another without a gap; networks may share one slice.
//
// Nothing in the file is run. A pickle that names anything but the class LayerBenchmark of __main__ is
// refused; so are those that Python 3 writes with protocols 0 and 1, which call a helper of Python's to make
// objects. Errors about the content wrap [split.ErrFormat] and give the offset in bytes.
func ReadBenchmark(r io.Reader, limit int64) (map[string][]Block, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("compat: read benchmark: %w", err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("compat: read benchmark: %w: longer than the limit of %d bytes", split.ErrFormat, limit)
	}
	models, err := benchmarks(data)
	if err != nil {
		return nil, fmt.Errorf("compat: read benchmark: %w: %w", split.ErrFormat, err)
	}
	return models, nil
}

func benchmarks(data []byte) (map[string][]Block, error) {
	v, err := unpickle(data)
	if err != nil {
		return nil, err
	}
	top, ok := v.(*dict)
	if !ok {
		return nil, fmt.Errorf("the file is %s, want a dict of networks", describe(v))
	}
	models := make(map[string][]Block, len(top.keys))
	read := map[*list][]Block{} // a list that several networks share is read once
	for _, name := range top.keys {
		l, ok := top.vals[name].(*list)
		if !ok {
			return nil, errorAt(top.at, "network %.40q is %s, want a list", name, describe(top.vals[name]))
		}
		if read[l] == nil {
			if read[l], err = l.blocks(); err != nil {
				return nil, fmt.Errorf("network %.40q: %w", name, err)
			}
		}
		models[name] = read[l]
	}
	return models, nil
}

func (l *list) blocks() ([]Block, error) {
	if len(l.items) == 0 || len(l.items) > MaxBlocks {
		return nil, errorAt(l.at, "%d blocks, want 1 to %d", len(l.items), MaxBlocks)
	}
	blocks := make([]Block, len(l.items))
	for i, v := range l.items {
		o, ok := v.(*object)
		if !ok {
			return nil, errorAt(l.at, "block %d is %s, want a %s", i, describe(v), className)
		}
		b, err := o.block()
		if err == nil && i > 0 && b.First != blocks[i-1].Last+1 {
			err = fmt.Errorf("begins with layer %d, want %d", b.First, blocks[i-1].Last+1)
		}
		if err != nil {
			return nil, errorAt(o.at, "block %d: %w", i, err)
		}
		blocks[i] = b
	}
	return blocks, nil
}

func (o *object) block() (b Block, err error) {
	if o.state == nil {
		return b, errors.New("has no fields")
	}
	whole := func(field string, most int64) int64 {
		v, ok := o.state.vals[field].(int64)
		if err == nil && !(ok && v >= 0 && v <= most) {
			err = fmt.Errorf("%s is %s, want a whole number from 0 to %d", field, o.state.show(field), most)
		}
		return v
	}
	b.First = int(whole("input_layer", math.MaxInt32-1))
	b.Last = int(whole("output_layer", math.MaxInt32-1))
	b.Bytes = whole("output_size", maxBytes)
	switch v := o.state.vals["second_prediction"].(type) {
	case float64:
		b.Seconds = v
	case int64:
		b.Seconds = float64(v)
	default:
		b.Seconds = math.NaN()
	}
	if err == nil && !(b.Seconds >= 0 && b.Seconds <= maxSeconds) {
		err = fmt.Errorf("second_prediction is %s, want seconds from 0 to %g", o.state.show("second_prediction"), maxSeconds)
	}
	if err == nil && b.Last < b.First {
		err = fmt.Errorf("layers %d to %d", b.First, b.Last)
	}
	return b, err
}

// show is the value of a key for messages.
func (d *dict) show(key string) string {
	switch v := d.vals[key].(type) {
	case int64, float64:
		return fmt.Sprint(v)
	default:
		if _, ok := d.vals[key]; !ok {
			return "missing"
		}
		return describe(v)
	}
}

// Tier is one of the three places of the original's model.
type Tier int

const (
	Device Tier = iota
	Edge
	Cloud
	tiers
)

func (t Tier) String() string { return [tiers]string{"device", "edge", "cloud"}[t] }

// System is a machine of which there is a benchmark.
type System struct {
	Name   string
	Models map[string][]Block
}

// Systems are the machines of each tier, in the order of their files' names.
type Systems [tiers][]System

// ReadFolder reads the benchmark files of a folder: all of the form TIER-NAME.dat, where the tier is in any
// case. As in the original, what follows the first dot of a name is dropped; it must have one hyphen and be
// the only one of its name and tier. A folder without such files is no error.
func ReadFolder(folder fs.FS) (Systems, error) {
	var all Systems
	entries, err := fs.ReadDir(folder, ".")
	if err != nil {
		return all, fmt.Errorf("compat: benchmark folder: %w", err)
	}
	count := 0
	for _, e := range entries {
		file := e.Name()
		if strings.HasPrefix(file, ".") || !strings.HasSuffix(file, ".dat") || !strings.Contains(strings.TrimSuffix(file, ".dat"), "-") {
			continue
		}
		if count++; count > maxSystems {
			return all, fmt.Errorf("compat: benchmark folder: more than %d files", maxSystems)
		}
		tier, s, err := readSystem(folder, file)
		if err != nil {
			return all, fmt.Errorf("%s: %w", file, err)
		}
		for _, other := range all[tier] {
			if other.Name == s.Name {
				return all, fmt.Errorf("%s: %w: a second %v named %s", file, split.ErrFormat, tier, s.Name)
			}
		}
		all[tier] = append(all[tier], s)
	}
	return all, nil
}

func readSystem(folder fs.FS, file string) (tier Tier, s System, err error) {
	stem, _, _ := strings.Cut(file, ".")
	parts := strings.Split(stem, "-")
	if len(parts) == 2 {
		tier = Tier(slices.IndexFunc([]Tier{Device, Edge, Cloud}, func(t Tier) bool { return strings.EqualFold(t.String(), parts[0]) }))
	}
	if len(parts) != 2 || tier < 0 {
		return 0, s, fmt.Errorf("%w: want a name such as device-NAME.dat, edge-NAME.dat or cloud-NAME.dat", split.ErrFormat)
	}
	f, err := folder.Open(file)
	if err != nil {
		return 0, s, err
	}
	defer f.Close()
	s.Name = parts[1]
	s.Models, err = ReadBenchmark(f, MaxBenchmarkBytes)
	return tier, s, err
}
