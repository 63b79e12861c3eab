package compat

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"scission/split"
)

// own is data of our own, and the original's answers to queries about it.
const own = "../../testdata/compat"

func TestAnswersToOwnDataAreTheOriginals(t *testing.T) {
	data, err := os.ReadFile(own + "/answers.txt")
	if err != nil {
		t.Fatal(err)
	}
	sessions := strings.Split(string(data), "$ ")[1:]
	if len(sessions) < 30 {
		t.Fatalf("%d queries", len(sessions))
	}
	for _, session := range sessions {
		line, want, _ := strings.Cut(strings.TrimSuffix(session, "\n"), "\n")
		want, failure, fails := strings.Cut(want, "! ")
		args := strings.Fields(line)
		for i, a := range args {
			if a == "." {
				args[i] = own
			}
		}
		var out strings.Builder
		err := Run(&out, args)
		if out.String() != want {
			t.Errorf("%s: got\n%s\nwant\n%s", line, out.String(), want)
		}
		drawing := strings.HasSuffix(failure, "None)\n")
		switch {
		case !fails && err != nil, fails && drawing && !errors.Is(err, ErrGraph), fails && !drawing && !errors.Is(err, ErrUsage):
			t.Errorf("%s: error %v, want it to say %q", line, err, failure)
		}
	}
}

func ownData(tb testing.TB) (Systems, Network) {
	tb.Helper()
	systems, err := ReadFolder(os.DirFS(own))
	if err != nil {
		tb.Fatal(err)
	}
	f, err := os.Open(own + "/network.csv")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	n, err := ReadNetwork(f, MaxNetworkBytes)
	if err != nil {
		tb.Fatal(err)
	}
	return systems, n
}

// answer answers the arguments behind the folder and the network.
func answer(t *testing.T, args ...string) *Answer {
	t.Helper()
	systems, n := ownData(t)
	q, err := ParseArgs(append([]string{own, "network.csv"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	a, err := systems.Answer(n, q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The figures are those of make.py and network.csv.
func TestLatencyIsTheSumByHand(t *testing.T) {
	phone, edge, tower := 0.31, 0.023, 0.0007+0
	device := 29.3/1000 + 401536/float64(1062500) // 8.5 Mbit/s
	cloud := 7.7/1000 + 1605760/float64(5375000)  // 43 Mbit/s
	a := answer(t, "toy", "-d", "1,!2", "-e", "2,!3", "-c", "7,tower(GPU)", "--result-count", "1")
	for _, r := range a.Results {
		p := r.Parts
		if p[Edge].Name != "42" {
			t.Fatalf("got %v, want edge 42", &r)
		}
		if p[Device].Seconds != phone || p[Edge].Seconds != edge || p[Cloud].Seconds != tower {
			t.Errorf("times are %v, %v, %v, want %v, %v, %v", p[Device].Seconds, p[Edge].Seconds, p[Cloud].Seconds, phone, edge, tower)
		}
		if want := device + cloud; r.Transfer != want {
			t.Errorf("transfer is %v, want %v", r.Transfer, want)
		}
		if want := phone + edge + tower + (device + cloud); r.Latency != want {
			t.Errorf("latency is %v, want %v", r.Latency, want)
		}
	}
	if len(a.Results) != 1 {
		t.Errorf("%d results, want 1", len(a.Results))
	}
}

// 0.1+0.2+0.3 is 0.6000000000000001 from the left, 0.6 from the right and as a difference of prefix sums.
func TestTimesAreAddedFromTheLeft(t *testing.T) {
	blocks := func(seconds ...float64) map[string][]Block {
		var bs []Block
		for i, s := range seconds {
			bs = append(bs, Block{i, i, s, 1})
		}
		return map[string][]Block{"m": bs}
	}
	all := Systems{{{"d", blocks(1, 1, 1, 1)}}, {{"e", blocks(1e9, 0.1, 0.2, 0.3)}}, {{"c", blocks(1e9, 0.1, 0.2, 0.3)}}}
	n := Network{{"d", "e"}: {0, 1}, {"d", "c"}: {0, 1}, {"e", "c"}: {0, 1}}
	for tier, options := range map[Tier][]string{Edge: {"-c", "-1", "-e", "1"}, Cloud: {"-e", "-1", "-c", "1"}} {
		q, err := ParseArgs(append([]string{"f", "n", "m", "-d", "0,!1"}, options...))
		if err != nil {
			t.Fatal(err)
		}
		a, err := all.Answer(n, q)
		if err != nil || len(a.Results) != 1 {
			t.Fatalf("%d results, error %v", len(a.Results), err)
		}
		x, y, z := 0.1, 0.2, 0.3
		if got, want := a.Results[0].Parts[tier].Seconds, (x+y)+z; got != want {
			t.Errorf("%v: %v s, want %v", tier, got, want)
		}
	}
}

func TestCriteriaMeanWhatTheOriginalTakesThemFor(t *testing.T) {
	for _, c := range []struct {
		criteria    string
		first, last int
		name        string
		want        bool
	}{
		{"4", 2, 4, "a", true},
		{"4", 2, 3, "a", false},
		{"4", -1, -1, "", false},
		{"!4", 2, 4, "a", false},
		{"!4", -1, -1, "", true},
		{"-1", -1, -1, "", true},
		{"-1", 0, 4, "a", false},
		{"!-1", 0, 4, "a", true},
		{"!-1", -1, -1, "", false},
		{"x-1", -1, -1, "", false}, // not a name, but !-1
		{"x-1", 0, 4, "a", true},
		{"a", 0, 4, "a", true},
		{"a", 0, 4, "b", false},
		{"a", -1, -1, "", false},
		{"a", -1, -1, "a", false}, // an unused device has a name all the same
		{"a,b", 0, 4, "b", true},
		{"!a", 0, 4, "b", true},
		{"!a", 0, 4, "a", false},
		{"!a", -1, -1, "", false}, // forces the tier to be used
		{"42", 0, 4, "42", false}, // a layer
		{"!42", 0, 4, "42", true},
		{" 3 , !5 ", 0, 4, "a", true},
		{"! a", 0, 4, "a", true}, // the name has a blank
		{"-2", 0, 4, "a", false}, // a name
		{"99999999999999999999", 0, 4, "a", false},
	} {
		got, err := parseCriteria(c.criteria)
		if err != nil {
			t.Fatal(err)
		}
		if got.Allow(c.first, c.last, c.name) != c.want {
			t.Errorf("%q allows %d - %d on %q: %v, want %v", c.criteria, c.first, c.last, c.name, !c.want, c.want)
		}
	}
}

// The original reads criteria and time limits after the command line, numbers while it does.
func TestOfRepeatedOptionsTheLastCounts(t *testing.T) {
	for options, good := range map[string]bool{
		"-e 1,,2 --edge hut":              true,
		"--edge hut -e 1,,2":              false,
		"--edge-time x --edge-time 1":     true,
		"--edge-time 1 --edge-time x":     false,
		"-i x -i 1":                       false,
		"--edge-upload x --edge-upload 1": false,
	} {
		q, err := ParseArgs(append([]string{"f", "n", "m"}, strings.Fields(options)...))
		if (err == nil) != good || err != nil && !errors.Is(err, ErrUsage) {
			t.Errorf("%s: error %v", options, err)
		}
		if e := Edge; good && strings.HasPrefix(options, "-e") && (len(q.Tiers[e].Criteria.In) > 0 || q.Tiers[e].Criteria.Names[0] != "hut") {
			t.Errorf("%s: %+v", options, q.Tiers[e])
		}
	}
}

func TestLimitsAreReckonedAsTheOriginalDoes(t *testing.T) {
	// 0.002008*1e6 is less than 2008, 0.002008*1000*1000 is not.
	blocks := map[string][]Block{"m": {{0, 0, 7, 2008}, {1, 1, 31, 4}, {2, 2, 62, 4}}}
	all := Systems{{{"d", blocks}}, {{"e", blocks}}, {{"c", blocks}}}
	n := Network{{"d", "e"}: {0, 1}, {"d", "c"}: {0, 1}, {"e", "c"}: {0, 1}}
	for _, c := range []struct {
		option, limit string
		want          int
	}{
		{"--device-upload", "0.002008", 1},
		{"--device-upload", "0.002007", 0},
		{"--device-time", "7.1%", 1},
		{"--device-time", "7%", 0}, // 7/100*100 is more than 7
		{"--device-time", "7", 1},
		{"--device-time", "6.9", 0},
		{"--device-time", "nan", 0},
	} {
		q, err := ParseArgs([]string{"f", "n", "m", "-d", "0,!1", "-e", "-1", c.option, c.limit})
		if err != nil {
			t.Fatal(err)
		}
		a, err := all.Answer(n, q)
		if err != nil || a.Matching != c.want {
			t.Errorf("%s %s: %d configurations, error %v, want %d", c.option, c.limit, a.Matching, err, c.want)
		}
	}
}

// 3,252,550 bytes are 3.25255 MB, which is a little less as a float; over 1000 and over 1000 again they are a little
// more. The original prints 3.2526MB.
func TestMegabytesAreDividedTwice(t *testing.T) {
	r := Result{DeviceUpload: 1300705, EdgeUpload: 1951845}
	if got, want := r.String(), "0.0000s - 3.2526MB - "; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q first", got, want)
	}
}

// What Python 3 prints for round(v, 2).
func TestHundredthsAreWrittenAsPythonWritesThem(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0.0", 2: "2.0", 0.125: "0.12", 0.135: "0.14", 2.675: "2.67", 1.005: "1.0", 0.999: "1.0", -0.001: "-0.0", -0.5022: "-0.5",
		1e15 + 0.25: "1000000000000000.2", 9999999999999998: "9999999999999998.0", 1e16: "1e+16", 9.411764705882352e299: "9.411764705882352e+299",
	} {
		if got := hundredths(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
}

// The original tries a configuration's criteria and limits tier by tier, and dies of a limit in per cent of no
// time only if it gets there.
func TestLimitsAreTriedTierByTier(t *testing.T) {
	// Edge e needs no time for anything, so that it alone has a configuration that takes none.
	idle, busy := map[string][]Block{"m": {{0, 0, 0, 128}}}, map[string][]Block{"m": {{0, 0, 1, 128}}}
	all := Systems{{{"d", busy}}, {{"e", idle}}, {{"c", busy}}}
	n := Network{{"d", "e"}: {0, 1}, {"d", "c"}: {0, 1}, {"e", "c"}: {0, 1}}
	for options, dies := range map[string]bool{
		"--device-time 50%":                           true,
		"--device-time 50% -d 0":                      false,
		"--device-time 50% -e -1":                     true, // the edge comes behind
		"--edge-time 50% -e -1":                       false,
		"--edge-time 50% -c 0":                        true,
		"--cloud-time 50% -c 0":                       false,
		"--cloud-time 50%":                            true,
		"--edge-time 50% -i 0.1 -c 0":                 true,
		"--edge-time 50% --device-upload -1 -c 0":     false,
		"--cloud-time 50% --edge-upload 0.0001 -c -1": false,
		"--cloud-time 50% --edge-time -0.5":           false,
		"--device-time 50% --edge-time -0.5":          true,
	} {
		q, err := ParseArgs(append([]string{"f", "n", "m"}, strings.Fields(options)...))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := all.Answer(n, q); (err != nil) != dies {
			t.Errorf("%s: error %v, want one: %v", options, err, dies)
		}
	}
}

func TestEqualLatenciesKeepTheirOrder(t *testing.T) {
	kept := top{most: 3}
	for i := range 50 {
		kept.add(&Result{Latency: float64(i % 2), DeviceUpload: float64(i)})
	}
	for i, r := range kept.best() {
		if r.Latency != 0 || r.DeviceUpload != float64(2*i) {
			t.Errorf("rank %d: %v of result %v, want 0 of %d", i+1, r.Latency, r.DeviceUpload, 2*i)
		}
	}
}

func TestMissingThingsAreNamed(t *testing.T) {
	systems, n := ownData(t)
	without := func(from, to string) Network {
		less := Network{}
		for ends, l := range n {
			if ends != [2]string{from, to} {
				less[ends] = l
			}
		}
		return less
	}
	for _, c := range []struct {
		name    string
		systems Systems
		network Network
		args    []string
		want    string
	}{
		{"model", systems, n, []string{"nosuch"}, `device phone has no benchmark of model "nosuch"`},
		{"link", systems, without("phone", "hall"), []string{"toy"}, `no link from "phone" to "hall"`},
		{"unused link", systems, without("phone", "hall"), []string{"toy", "-c", "tower(GPU)"}, ""},
		{"tier", Systems{systems[Device], nil, systems[Cloud]}, n, []string{"toy"}, "no edge"},
		{"results", systems, n, []string{"toy", "--result-count", "-3"}, "-3 results"},
		{"per cent of nothing", Systems{
			{{"d", map[string][]Block{"m": {{0, 0, 0, 4}}}}}, {{"e", map[string][]Block{"m": {{0, 0, 0, 4}}}}}, {{"c", map[string][]Block{"m": {{0, 0, 0, 4}}}}},
		}, n, []string{"m", "--edge-time", "5%"}, "takes no time"},
		{"blocks", Systems{systems[Device], systems[Edge], {{"c", map[string][]Block{"toy": {{0, 0, 0, 4}}}}}}, n, []string{"toy"}, "other blocks"},
	} {
		q, err := ParseArgs(append([]string{own, "network.csv"}, c.args...))
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.systems.Answer(c.network, q)
		if c.want == "" {
			if err != nil || len(a.Results) == 0 {
				t.Errorf("%s: %d results, error %v", c.name, len(a.Results), err)
			}
			continue
		}
		var out strings.Builder
		a.WriteTo(&out)
		if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), c.want) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%s: error %v, want %q; printed\n%s", c.name, err, c.want, out.String())
		}
	}
}

func TestFolderIsReadByTheNamesOfItsFiles(t *testing.T) {
	dat, err := os.ReadFile(own + "/device-phone.dat")
	if err != nil {
		t.Fatal(err)
	}
	file := &fstest.MapFile{Data: dat}
	folder := fstest.MapFS{"DEVICE-a.dat": file, "edge-b.1.dat": file, "cloud-c(GPU).dat": file, "notes.dat": file, ".edge-x.dat": file, "x-y.csv": file}
	all, err := ReadFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(all[Device]) != 1 || len(all[Edge]) != 1 || len(all[Cloud]) != 1 ||
		all[Device][0].Name != "a" || all[Edge][0].Name != "b" || all[Cloud][0].Name != "c(GPU)" {
		t.Errorf("got %v", all)
	}
	for _, name := range []string{"fog-a.dat", "edge-a-b.dat", "edge-b.dat", "ed.ge-a.dat"} {
		folder[name] = file
		if _, err := ReadFolder(folder); !errors.Is(err, split.ErrFormat) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
		delete(folder, name)
	}
	if _, err := ReadFolder(os.DirFS(own + "/none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: error %v", err)
	}
	var none Systems
	a, err := none.Answer(nil, &Query{Count: 1})
	var out strings.Builder
	a.WriteTo(&out)
	if err != nil || out.String() != "[+] No .dat benchmark files stored in benchmark_data. Exiting...\n" {
		t.Errorf("no files: error %v, printed %q", err, out.String())
	}
}

func TestNetworkFilesAreReadAsTheOriginalReadsThem(t *testing.T) {
	n, err := ReadNetwork(strings.NewReader("h\r\na,b,  66.7, 1.6,more\n\"c\", d,1e1,0.00002\na,b,1_0,.5\n"), 1000)
	if err != nil {
		t.Fatal(err)
	}
	// A repeated row counts, blanks in names too; 0.00002 Mbit/s is 2.5 bytes a second, rounded to even.
	want := Network{{"a", "b"}: {10, 62500}, {"c", " d"}: {10, 2}}
	if len(n) != len(want) || n[[2]string{"a", "b"}] != want[[2]string{"a", "b"}] || n[[2]string{"c", " d"}] != want[[2]string{"c", " d"}] {
		t.Errorf("got %v, want %v", n, want)
	}
	for text, message := range map[string]string{
		"":                                "no header",
		"h\na,b,1\n":                      "line 2: 3 columns",
		"h\n\na,b,x,1\n":                  "line 3: ping",
		"h\na,b,1,0x1\n":                  "line 2: bandwidth",
		"h\na,b,1,-1\n":                   "line 2: bandwidth",
		"h\na,b,nan,1\n":                  "line 2: ping",
		"h\na,b,1,inf\n":                  "line 2: bandwidth",
		"h\na,b,1e999,1\n":                "line 2: ping",
		"h\n\"a,b,1,1\n":                  "line",
		"h\n" + strings.Repeat("x", 2000): "limit of 1000 bytes",
	} {
		if _, err := ReadNetwork(strings.NewReader(text), 1000); !errors.Is(err, split.ErrFormat) || !strings.Contains(err.Error(), message) {
			t.Errorf("%.40q: error %v, want %q", text, err, message)
		}
	}
}

func FuzzNetwork(f *testing.F) {
	f.Add("source,destination,ping(ms),bandwidth(mbps)\r\na,b,  66.7, 1.6\r\n")
	f.Add("h\n\"a\"b,\"c\n\",1,2\n")
	f.Add("h\na,b,0,-0\n")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ReadNetwork(strings.NewReader(text), 1<<12)
		if (n == nil) != (err != nil) {
			t.Fatalf("network %v, error %v", n, err)
		}
		for ends, l := range n {
			if !(l.PingMs >= 0) || !(l.Rate >= 0) || !(l.Seconds(1) >= 0) {
				t.Fatalf("%v: %v", ends, l)
			}
		}
	})
}

// FuzzQuery runs any command line on our own data.
func FuzzQuery(f *testing.F) {
	f.Add("toy -d !-1 -e 10,hut -c=-1 --edge-time 5% --device-u 0.3")
	f.Add("-- toy\x00-i\x001e308")
	f.Add("toy --result-count 99999999999 -c!tower(GPU),,")
	systems, n := ownData(f)
	f.Fuzz(func(t *testing.T, line string) {
		q, err := ParseArgs(append([]string{"folder", "network.csv"}, strings.Split(line, " ")...))
		if (q == nil) != (err != nil) {
			t.Fatalf("query %v, error %v", q, err)
		}
		if err != nil {
			if !errors.Is(err, ErrUsage) && !errors.Is(err, ErrHelp) {
				t.Fatalf("error %v", err)
			}
			return
		}
		a, err := systems.Answer(n, q)
		if err != nil && !errors.Is(err, ErrUsage) {
			t.Fatalf("error %v", err)
		}
		if len(a.Results) > a.Matching || a.Matching > a.Configurations {
			t.Fatalf("%d of %d of %d", len(a.Results), a.Matching, a.Configurations)
		}
		for i := 1; i < len(a.Results); i++ {
			if a.Results[i].Latency < a.Results[i-1].Latency {
				t.Fatalf("rank %d is faster than %d", i+1, i)
			}
		}
		a.WriteTo(io.Discard)
	})
}
