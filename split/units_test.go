package split

import (
	"math"
	"strings"
	"testing"
)

func TestParseBandwidthGivesBytesPerSecond(t *testing.T) {
	for text, want := range map[string]float64{
		"8bit/s": 1, "20Mbit/s": 2_500_000, "1.6 Mbit/s": 200_000, "1Gbit/s": 125_000_000, "56kbit/s": 7000,
		"100Mbps": 12_500_000, "1Gbps": 125e6, "64kbps": 8000, "8bps": 1,
		"12500000B/s": 12_500_000, "1.5kB/s": 1500, "2MB/s": 2_000_000, "0.5GB/s": 5e8,
		"1KiB/s": 1024, "3MiB/s": 3 * 1048576, "1GiB/s": 1073741824, ".5MB/s": 500_000,
	} {
		if got, err := ParseBandwidth(text); err != nil || got != want {
			t.Errorf("ParseBandwidth(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "unit", "20": "unit", "20Mb/s": "unit", "20mbit/s": "unit", "fast": "unit", "1e3MB/s": "unit", "20 Mbit": "unit",
		"Mbit/s": "number", "1.2.3MB/s": "number", "-1MB/s": "unit", "NaNMB/s": "unit",
		"0MB/s": "positive", "0.0bit/s": "positive", strings.Repeat("9", 400) + "B/s": "number",
		strings.Repeat("9", 308) + "GB/s": "positive finite",
	} {
		if got, err := ParseBandwidth(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseBandwidth(%.40q) = %v, %v, want an error with %q", text, got, err, want)
		}
	}
}

func TestFormatBandwidthChoosesTheUnit(t *testing.T) {
	for want, v := range map[string]float64{
		"20Mbit/s": 2_500_000, "1Gbit/s": 125e6, "1.6Mbit/s": 200_000, "8bit/s": 1, "8kbit/s": 1000, "0.8bit/s": .1,
	} {
		if got := FormatBandwidth(v); got != want {
			t.Errorf("FormatBandwidth(%v) = %q, want %q", v, got, want)
		}
	}
	if got, err := ParseBandwidth(FormatBandwidth(math.MaxFloat64 / 1024)); err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}
