package split

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// bandwidthUnits are the accepted units, in bytes a second. SI prefixes are powers of 1000, Ki, Mi and Gi of
// 1024. The first four are the ones that FormatBandwidth writes.
var bandwidthUnits = []struct {
	name  string
	bytes float64
}{
	{"Gbit/s", 1e9 / 8}, {"Mbit/s", 1e6 / 8}, {"kbit/s", 1e3 / 8}, {"bit/s", 1. / 8},
	{"Gbps", 1e9 / 8}, {"Mbps", 1e6 / 8}, {"kbps", 1e3 / 8}, {"bps", 1. / 8},
	{"GB/s", 1e9}, {"MB/s", 1e6}, {"kB/s", 1e3}, {"B/s", 1},
	{"GiB/s", 1 << 30}, {"MiB/s", 1 << 20}, {"KiB/s", 1 << 10},
}

// ParseBandwidth reads a decimal number and a unit, "20Mbit/s" or "2.5 MB/s", and gives bytes a second. The
// units are bit/s (also written bps), B/s, with the prefixes k, M and G (powers of 1000), and KiB/s, MiB/s,
// GiB/s; upper and lower case matter. The result is positive and finite.
func ParseBandwidth(s string) (float64, error) {
	b, err := parseBandwidth(s)
	if err != nil {
		return 0, fmt.Errorf("split: %w", err)
	}
	return b, nil
}

// parseBandwidth is ParseBandwidth without the package's name in its errors.
func parseBandwidth(s string) (float64, error) {
	number := s[:len(s)-len(strings.TrimLeft(s, "0123456789."))]
	unit := strings.TrimSpace(s[len(number):])
	for _, u := range bandwidthUnits {
		if u.name != unit {
			continue
		}
		v, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return 0, fmt.Errorf("bandwidth %.80q: number %.60q is not valid", s, number)
		}
		return v * u.bytes, checkBandwidth(v * u.bytes)
	}
	return 0, fmt.Errorf("bandwidth %.80q: unit %.60q, want bit/s, bps or B/s with prefix k, M or G, "+
		"or KiB/s, MiB/s, GiB/s", s, unit)
}

// FormatBandwidth writes bytes a second with the largest unit of bit/s to Gbit/s that keeps the number at 1
// or more.
func FormatBandwidth(bytesPerSecond float64) string {
	u := bandwidthUnits[0]
	for _, u = range bandwidthUnits[:4] {
		if bytesPerSecond >= u.bytes {
			break
		}
	}
	return strconv.FormatFloat(bytesPerSecond/u.bytes, 'f', -1, 64) + u.name
}

func checkBandwidth(bytesPerSecond float64) error {
	if !(bytesPerSecond > 0) || math.IsInf(bytesPerSecond, 1) {
		return fmt.Errorf("bandwidth is %g bytes/s, want a positive finite number", bytesPerSecond)
	}
	return nil
}
