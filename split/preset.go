package split

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Preset is a link of a kind of network, for estimates where nothing was measured.
type Preset struct {
	Name string
	Link Link // the same in both directions
	// Source says where the figures come from.
	Source string
}

// presets are sorted from slow to fast. Latency is one way, half of a ping.
var presets = []Preset{
	{
		"3g", Link{Latency: 33350 * time.Microsecond, Bandwidth: 1.6e6 / 8},
		"the file network_stats.csv of the original Scission, device to edge: ping 66.7 ms, 1.6 Mbit/s",
	},
	{
		"4g", Link{Latency: 25 * time.Millisecond, Bandwidth: 12e6 / 8},
		"round figures chosen by us, between 3g and wired in the original's manner: ping 50 ms, 12 Mbit/s",
	},
	{
		"wired", Link{Latency: 10 * time.Millisecond, Bandwidth: 20e6 / 8},
		"the file network_stats_wired.csv of the original Scission, device to edge: ping 20 ms, 20 Mbit/s",
	},
	{
		"wifi", Link{Latency: 2 * time.Millisecond, Bandwidth: 100e6 / 8},
		"round figures chosen by us: ping 4 ms, 100 Mbit/s",
	},
	{
		"lan", Link{Latency: 250 * time.Microsecond, Bandwidth: 1e9 / 8},
		"round figures chosen by us: ping 0.5 ms, 1 Gbit/s, the nominal rate of gigabit Ethernet",
	},
}

// Presets lists the presets from slow to fast: 3g, 4g, wired, wifi, lan. The figures of 3g and wired are those
// with which the original Scission was published (its files network_stats.csv and network_stats_wired.csv,
// device to edge); those of 4g, wifi and lan are round figures chosen by us. Each says so in Source.
func Presets() []Preset { return slices.Clone(presets) }

// PresetNetwork links every host with every other, both ways, as a preset has it. Note says where the figures
// come from; there is no date.
func PresetNetwork(name string, hosts []string) (*Network, error) {
	var names []string
	for _, p := range presets {
		names = append(names, p.Name)
		if p.Name != name {
			continue
		}
		n := &Network{Note: "preset " + p.Name + ": " + p.Source}
		for i, a := range hosts {
			for _, b := range hosts[:i] {
				if err := n.SetBoth(a, b, p.Link); err != nil {
					return nil, err
				}
			}
		}
		return n, nil
	}
	return nil, fmt.Errorf("split: preset network %.40q, want one of %s", name, strings.Join(names, ", "))
}

// Stale says whether the profile was measured longer ago than an age; one without a date is not stale, since
// nothing is known.
func (p *Profile) Stale(now time.Time, age time.Duration) bool { return stale(p.Date, now, age) }

// Stale says whether the network, or one of its links, was measured or described longer ago than an age; dates
// that are not known do not count. A nil Network is not stale.
func (n *Network) Stale(now time.Time, age time.Duration) bool {
	if n == nil {
		return false
	}
	for _, l := range n.links {
		if stale(l.Date, now, age) {
			return true
		}
	}
	return stale(n.Date, now, age)
}

func stale(date, now time.Time, age time.Duration) bool {
	return !date.IsZero() && now.Sub(date) > age
}
