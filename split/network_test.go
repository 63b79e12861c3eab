package split

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

const networkJSON = `{
  "version": "scission-network/1",
  "date": "2026-11-22T10:00:00Z",
  "note": "by hand",
  "links": [
    {"between": ["device", "edge"], "latency": "10ms", "bandwidth": "20Mbit/s"},
    {"from": "edge", "to": "cloud", "latency": "1.5ms", "bandwidth": 12500000.5, "date": "2026-11-23T10:00:00Z"}
  ]
}`

func TestReadNetworkTakesJSON(t *testing.T) {
	n, err := ReadNetwork(strings.NewReader(networkJSON), MaxNetworkBytes)
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	slow := Link{10 * time.Millisecond, 2_500_000, day}
	want := []HostLink{
		{"device", "edge", slow},
		{"edge", "cloud", Link{1500 * time.Microsecond, 12500000.5, day.AddDate(0, 0, 1)}},
		{"edge", "device", slow},
	}
	if got := n.Links(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if !n.Linked("device", "edge") || n.Linked("edge", "cloud") || !n.Date.Equal(day) || n.Note != "by hand" {
		t.Errorf("got %+v", n)
	}
}

func TestReadNetworkTakesScissionsCSV(t *testing.T) {
	const text = "source,destination,ping(ms),bandwidth(mbps)\r\nraspi4,2500,            66.7,  1.6\n" +
		"raspi4,6700k(GPU), 100, 1.6\n2500,6700k(GPU), 20, 50\n6700k(GPU),2500, 30, 0.0000123"
	n, err := ReadNetwork(strings.NewReader("\ufeff"+text), MaxNetworkBytes)
	if err != nil {
		t.Fatal(err)
	}
	// One way is half of the ping; 1.6 Mbit/s are 200,000 bytes/s; 0.0000123 Mbit/s are 1.5375, rounded to 2.
	up, far := Link{Latency: 33350 * time.Microsecond, Bandwidth: 200_000}, Link{Latency: 50 * time.Millisecond, Bandwidth: 200_000}
	want := []HostLink{
		{"2500", "6700k(GPU)", Link{Latency: 10 * time.Millisecond, Bandwidth: 6_250_000}},
		{"2500", "raspi4", up},
		{"6700k(GPU)", "2500", Link{Latency: 15 * time.Millisecond, Bandwidth: 2}},
		{"6700k(GPU)", "raspi4", far},
		{"raspi4", "2500", up},
		{"raspi4", "6700k(GPU)", far},
	}
	if got := n.Links(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestReadNetworkTakesTheOriginalsFiles(t *testing.T) {
	for _, name := range []string{"network_stats.csv", "network_stats_wired.csv"} {
		f, err := os.Open("../../shared/scission/benchmark_data/" + name)
		if err != nil {
			t.Skip("the original's data is not here")
		}
		defer f.Close()
		n, err := ReadNetwork(f, MaxNetworkBytes)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(n.Links()); got != 16 {
			t.Errorf("%s: %d links, want the file's 8 rows in both directions", name, got)
		}
		if l, ok := n.Link("vm2Core", "6700k(NoGPU)"); !ok || l != (Link{Latency: 10 * time.Millisecond, Bandwidth: 6_250_000}) {
			t.Errorf("%s: link is %v, %v", name, l, ok)
		}
	}
}

func TestReadNetworkSaysWhereAFileIsWrong(t *testing.T) {
	link := func(s string) string { return `{"version":"scission-network/1","links":[` + "\n" + s + "]}" }
	const header = "source,destination,ping(ms),bandwidth(mbps)\n"
	tests := []struct{ text, want string }{
		{"", "csv header"},
		{"{", "line 1"},
		{`{"version":"scission-network/1","links":[]} x`, "line 1"},
		{`{}`, `version is "", want "scission-network/1"`},
		{`{"version":"scission-network/2","links":[]}`, `"scission-network/2"`},
		{`{"version":"scission-network/1","links":{}}`, `links: got "{", want "["`},
		{`{"version":"scission-network/1","links":null}`, `links: got "<nil>", want "["`},
		{`{"Version":"scission-network/1"}`, `unknown field "Version"`},
		{`{"version":"scission-network/1","version":"scission-network/1"}`, `line 1: field "version" is given twice`},
		{`{"version":"scission-network/1","date":"yesterday","links":[]}`, "date: "},
		{link(`{"from":"a","to":"b","latency":"1ms","bandwidth":1,"speed":2}`), `line 2: links[0]: unknown field "speed"`},
		{link(`{"from":"a","to":"b","latency":10,"bandwidth":1}`), `line 2: links[0].latency: got 10, want text with a unit`},
		{link(`{"from":"a","to":"b","latency":"10","bandwidth":1}`), `links[0].latency: got "10", want a time`},
		{link(`{"from":"a","to":"b","latency":"-1ms","bandwidth":1}`), "links[0]: link from a to b: latency is -1ms"},
		{link(`{"from":"a","to":"b","latency":"2h","bandwidth":1}`), "latency is 2h0m0s, want 0 to 1h0m0s"},
		{link(`{"from":"a","to":"b","latency":"1ms","bandwidth":-5}`), "bandwidth is -5 bytes/s"},
		{link(`{"from":"a","to":"b","latency":"1ms"}`), "bandwidth is 0 bytes/s"},
		{link(`{"from":"a","to":"b","latency":"1ms","bandwidth":1e999}`), "links[0].bandwidth"},
		{link(`{"from":"a","to":"b","latency":"1ms","bandwidth":NaN}`), "line 2"},
		{link(`{"from":"a","to":"b","latency":"1ms","bandwidth":"5"}`), `links[0].bandwidth: bandwidth "5": unit`},
		{link(`{"from":"a","to":"a","latency":"1ms","bandwidth":1}`), "from a to itself"},
		{link(`{"from":"a","latency":"1ms","bandwidth":1}`), "host name has 0 bytes"},
		{link(`{"latency":"1ms","bandwidth":1}`), `want either "from" and "to" or "between"`},
		{link(`{"from":"a","between":["a","b"],"latency":"1ms","bandwidth":1}`), "want either"},
		{link(`{"between":["a"],"latency":"1ms","bandwidth":1}`), "between has 1 hosts, want 2"},
		{link(`{"between":["a","b"],"latency":"1ms","bandwidth":1},{"from":"b","to":"a","latency":"1ms","bandwidth":1}`), "links[1]: link from b to a is given twice"},
		{link(`{"between":["a","b:c"],"latency":"1ms","bandwidth":1}`), `"b:c" contains ':'`},
		{"a,b,10,20\n", "line 1: got values, want a header"},
		{header + "a,b,10\n", "line 2"},
		{header + "a,b,10,1\na,b,10,1\n", "line 3: link from a to b is given twice"},
		{header + "a,b,NaN,1\n", `ping is "NaN"`},
		{header + "a,b,-1,1\n", `ping is "-1"`},
		{header + "a,b,1e300,1\n", `ping is "1e300"`},
		{header + "a,b,1,Inf\n", "bandwidth is +Inf"},
		{header + "a,b,1,-3\n", "bandwidth is -375000"},
		{header + "a,b,1,x\n", `bandwidth is "x"`},
		{header + "\"a,b,1,1\n", "csv"},
	}
	for _, tt := range tests {
		n, err := ReadNetwork(strings.NewReader(tt.text), MaxNetworkBytes)
		if n != nil || !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.text, err, tt.want)
		} else if strings.Count(err.Error(), "split:") != 1 {
			t.Errorf("error names the package more than once: %v", err)
		}
	}
	if _, err := ReadNetwork(strings.NewReader(networkJSON), 20); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "limit of 20 bytes") {
		t.Errorf("limit: %v", err)
	}
}

func TestSetRefusesLinksThatAreNone(t *testing.T) {
	var n Network
	for _, l := range []Link{{0, 0, time.Time{}}, {-1, 1, time.Time{}}} {
		if err := n.SetBoth("a", "b", l); err == nil {
			t.Errorf("Set accepts %v", l)
		}
	}
	if n.Links() != nil || (*Network)(nil).Links() != nil || (*Network)(nil).Linked("a", "b") {
		t.Error("an empty network has links")
	}
}

func TestTravelIsLatencyPlusBytesOverBandwidth(t *testing.T) {
	for _, tt := range []struct {
		link  Link
		bytes int64
		want  time.Duration
	}{
		{Link{Latency: 5 * time.Millisecond, Bandwidth: 1e6}, 0, 5 * time.Millisecond},
		{Link{Latency: 5 * time.Millisecond, Bandwidth: 1e6}, 100_000, 105 * time.Millisecond},
		{Link{Bandwidth: 3}, 1, 333_333_333},
		{Link{Bandwidth: 3}, 2, 666_666_667},
		{Link{Latency: time.Second, Bandwidth: 1e-300}, MaxBytes, MaxTravel},
	} {
		if got := tt.link.Travel(tt.bytes); got != tt.want {
			t.Errorf("%v: %d bytes take %v, want %v", tt.link, tt.bytes, got, tt.want)
		}
	}
}

// checkNetworkRoundTrip checks that a network survives writing and reading.
func checkNetworkRoundTrip(t *testing.T, n *Network) {
	t.Helper()
	var b bytes.Buffer
	if err := n.Write(&b); err != nil {
		t.Fatal(err)
	}
	m, err := ReadNetwork(&b, 4*MaxNetworkBytes)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(n, m) && (len(n.links) > 0 || len(m.links) > 0) {
		t.Fatalf("read back %+v, want %+v", m, n)
	}
}

func TestNetworkSurvivesWritingAndReading(t *testing.T) {
	n, err := ReadNetwork(strings.NewReader(networkJSON), MaxNetworkBytes)
	if err != nil {
		t.Fatal(err)
	}
	n.Emulated = "token bucket"
	checkNetworkRoundTrip(t, n)
}

func FuzzReadNetwork(f *testing.F) {
	f.Add([]byte(networkJSON))
	f.Add([]byte("source,destination,ping(ms),bandwidth(mbps)\nraspi4,2500, 66.7, 1.6\n"))
	f.Add([]byte(`{"version":"scission-network/1","links":[{"from":"a","to":"b","latency":"1h","bandwidth":"1.5MiB/s"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := ReadNetwork(bytes.NewReader(data), 1<<14)
		if (n == nil) == (err == nil) {
			t.Fatalf("got %v and %v, want a value or an error", n, err)
		}
		if err != nil {
			return
		}
		for _, l := range n.Links() {
			if d := l.Travel(MaxBytes); d < 0 || d > MaxTravel {
				t.Fatalf("%+v: travel takes %v", l, d)
			}
		}
		checkNetworkRoundTrip(t, n)
	})
}
