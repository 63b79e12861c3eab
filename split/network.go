package split

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// NetworkVersion is the version field of a network file.
	NetworkVersion = "scission-network/1"
	// MaxNetworkBytes is a limit for ReadNetwork that no sensible file reaches.
	MaxNetworkBytes = 1 << 20
	// MaxLatency is the largest latency of a link.
	MaxLatency = time.Hour
	// MaxTravel is the most that a transfer counts, latency included: a slower one is priced as this. It
	// keeps every sum of costs within 64 bits.
	MaxTravel = 100 * 24 * time.Hour
)

// Link is one direction of the way between two hosts.
type Link struct {
	// Latency is one way, not a round trip.
	Latency time.Duration
	// Bandwidth is in bytes a second.
	Bandwidth float64
	// Date is when the link was measured; zero where unknown.
	Date time.Time
}

// Travel is the time that a number of bytes takes: latency plus bytes over bandwidth, rounded to the
// nanosecond, at most MaxTravel.
func (l Link) Travel(bytes int64) time.Duration {
	wire := math.Round(float64(bytes) / l.Bandwidth * float64(time.Second))
	if wire >= float64(MaxTravel-l.Latency) {
		return MaxTravel
	}
	return l.Latency + time.Duration(wire)
}

func (l Link) validate() error {
	if l.Latency < 0 || l.Latency > MaxLatency {
		return fmt.Errorf("latency is %v, want 0 to %v", l.Latency, MaxLatency)
	}
	return checkBandwidth(l.Bandwidth)
}

// HostLink is a link and the hosts at its ends.
type HostLink struct {
	From, To string
	Link
}

// Network is directed links between hosts, which are known by name. The zero value has none. A Network may
// be read by several goroutines at once while none changes it.
type Network struct {
	// Date is when the network was described or measured; zero where unknown.
	Date time.Time
	// Note says where the figures come from.
	Note string
	// Emulated is not empty where the links are emulated (shaped), and says how.
	Emulated string

	links map[[2]string]Link
}

// Set adds or replaces the link in one direction.
func (n *Network) Set(from, to string, l Link) error {
	if err := n.set(from, to, l); err != nil {
		return fmt.Errorf("split: network: %w", err)
	}
	return nil
}

func (n *Network) set(from, to string, l Link) error {
	for _, host := range []string{from, to} {
		if err := checkHost(host); err != nil {
			return err
		}
	}
	if from == to {
		return fmt.Errorf("link from %s to itself", from)
	}
	if err := l.validate(); err != nil {
		return fmt.Errorf("link from %s to %s: %w", from, to, err)
	}
	if n.links == nil {
		n.links = map[[2]string]Link{}
	}
	n.links[[2]string{from, to}] = l
	return nil
}

// SetBoth adds or replaces the links in both directions.
func (n *Network) SetBoth(a, b string, l Link) error {
	if err := n.Set(a, b, l); err != nil {
		return err
	}
	return n.Set(b, a, l)
}

// Link is the link in one direction, if there is one. A nil Network has none.
func (n *Network) Link(from, to string) (Link, bool) {
	if n == nil {
		return Link{}, false
	}
	l, ok := n.links[[2]string{from, to}]
	return l, ok
}

// Linked says whether there are links in both directions, which a stage and the way back need; pass it to
// [Hops].
func (n *Network) Linked(a, b string) bool {
	_, there := n.Link(a, b)
	_, back := n.Link(b, a)
	return there && back
}

// Links lists all links, sorted by name of sender and then of receiver. A nil Network has none.
func (n *Network) Links() []HostLink {
	if n == nil {
		return nil
	}
	var links []HostLink
	for _, ends := range slices.SortedFunc(maps.Keys(n.links), func(a, b [2]string) int {
		return slices.Compare(a[:], b[:])
	}) {
		links = append(links, HostLink{ends[0], ends[1], n.links[ends]})
	}
	return links
}

// networkFile is the JSON form of a Network.
type networkFile struct {
	Version  string     `json:"version"`
	Date     time.Time  `json:"date,omitzero"`
	Note     string     `json:"note,omitempty"`
	Emulated string     `json:"emulated,omitempty"`
	Links    []linkFile `json:"links"`
}

// linkFile is a link in one direction (From and To) or in both (Between).
type linkFile struct {
	From      string    `json:"from,omitempty"`
	To        string    `json:"to,omitempty"`
	Between   []string  `json:"between,omitempty"`
	Latency   latency   `json:"latency"`
	Bandwidth bandwidth `json:"bandwidth"`
	Date      time.Time `json:"date,omitzero"`
}

// latency is a duration as text with a unit.
type latency time.Duration

func (l latency) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(l).String()) }

func (l *latency) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("got %.40s, want text with a unit such as %q", data, "10ms")
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("got %.40q, want a time with a unit such as %q", s, "10ms")
	}
	*l = latency(d)
	return nil
}

// bandwidth is bytes a second as a number, or text with a unit.
type bandwidth float64

func (b bandwidth) MarshalJSON() ([]byte, error) {
	text := FormatBandwidth(float64(b))
	if same, err := parseBandwidth(text); err == nil && same == float64(b) {
		return json.Marshal(text)
	}
	return json.Marshal(float64(b))
}

func (b *bandwidth) UnmarshalJSON(data []byte) error {
	if data[0] != '"' {
		return json.Unmarshal(data, (*float64)(b))
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	v, err := parseBandwidth(s)
	*b = bandwidth(v)
	return err
}

// Write writes the network as JSON for ReadNetwork, each link in its direction.
func (n *Network) Write(w io.Writer) error {
	file := networkFile{Version: NetworkVersion, Date: n.Date, Note: n.Note, Emulated: n.Emulated, Links: []linkFile{}}
	for _, l := range n.Links() {
		entry := linkFile{From: l.From, To: l.To, Latency: latency(l.Latency), Bandwidth: bandwidth(l.Bandwidth)}
		if !l.Date.Equal(n.Date) {
			entry.Date = l.Date
		}
		file.Links = append(file.Links, entry)
	}
	if err := encodeIndented(w, file); err != nil {
		return fmt.Errorf("split: write network: %w", err)
	}
	return nil
}

// ReadNetwork reads a network of at most limit bytes, JSON or the original Scission's csv, told apart by the
// first character. Errors about the content wrap [ErrFormat] and say where.
//
// The JSON form is
//
//	{
//	  "version": "scission-network/1",
//	  "date": "2026-11-22T10:00:00Z",
//	  "note": "measured with scission link",
//	  "emulated": "",
//	  "links": [
//	    {"between": ["device", "edge"], "latency": "10ms", "bandwidth": "20Mbit/s"},
//	    {"from": "edge", "to": "cloud", "latency": "5ms", "bandwidth": 12500000}
//	  ]
//	}
//
// "between" is short for the same link in both directions; latency is one way, as text that
// time.ParseDuration reads; bandwidth is text that [ParseBandwidth] reads or a number of bytes a second;
// a link may have a "date" of its own, and has the file's otherwise. Date, note and emulated may be left
// out. Unknown fields and links given twice are errors.
//
// The csv form is a header line, which is skipped, and rows of source, destination, ping in milliseconds (a
// round trip) and bandwidth in Mbit/s. Latency is half of the ping; bandwidth is a whole number of bytes a
// second, as in the original. The original lists only one direction and lets results come back for nothing;
// here a link without a row for its way back has the same link back.
func ReadNetwork(r io.Reader, limit int64) (*Network, error) {
	data, err := readLimited(r, limit)
	if err != nil {
		return nil, fmt.Errorf("split: read network: %w", err)
	}
	parse := parseCSV
	if text := bytes.TrimSpace(data); len(text) > 0 && text[0] == '{' {
		parse = parseJSON
	}
	n, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("split: read network: %w", err)
	}
	return n, nil
}

func parseJSON(data []byte) (*Network, error) {
	var file networkFile
	if err := decodeStrict(data, &file); err != nil {
		return nil, err
	}
	if file.Version != NetworkVersion {
		return nil, fmt.Errorf("%w: version is %.40q, want %q", ErrFormat, file.Version, NetworkVersion)
	}
	n := &Network{Date: file.Date, Note: file.Note, Emulated: file.Emulated}
	for i, entry := range file.Links {
		if err := n.add(entry); err != nil {
			return nil, fmt.Errorf("%w: links[%d]: %w", ErrFormat, i, err)
		}
	}
	return n, nil
}

// add puts one entry of a JSON file into the network.
func (n *Network) add(entry linkFile) error {
	l := Link{time.Duration(entry.Latency), float64(entry.Bandwidth), entry.Date}
	if l.Date.IsZero() {
		l.Date = n.Date
	}
	directed := entry.From != "" || entry.To != ""
	switch {
	case directed == (entry.Between != nil):
		return errors.New(`want either "from" and "to" or "between"`)
	case directed:
		return n.addNew(entry.From, entry.To, l)
	case len(entry.Between) != 2:
		return fmt.Errorf("between has %d hosts, want 2", len(entry.Between))
	}
	if err := n.addNew(entry.Between[0], entry.Between[1], l); err != nil {
		return err
	}
	return n.addNew(entry.Between[1], entry.Between[0], l)
}

// addNew is set for a link that may not be there yet.
func (n *Network) addNew(from, to string, l Link) error {
	if _, ok := n.Link(from, to); ok {
		return fmt.Errorf("link from %s to %s is given twice", from, to)
	}
	return n.set(from, to, l)
}

const (
	csvColumns = 4
	// bytesPerMbit converts Mbit/s to bytes a second.
	bytesPerMbit = 125000
)

func parseCSV(data []byte) (*Network, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = csvColumns
	r.TrimLeadingSpace = true
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("%w: csv header: %w", ErrFormat, err)
	}
	if _, err := strconv.ParseFloat(strings.TrimSpace(header[2]), 64); err == nil {
		return nil, fmt.Errorf("%w: line 1: got values, want a header such as source,destination,ping(ms),bandwidth(mbps)", ErrFormat)
	}
	n := &Network{}
	for {
		row, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: csv: %w", ErrFormat, err)
		}
		if err := n.addRow(row); err != nil {
			line, _ := r.FieldPos(0)
			return nil, fmt.Errorf("%w: line %d: %w", ErrFormat, line, err)
		}
	}
	for _, l := range n.Links() {
		if _, ok := n.Link(l.To, l.From); !ok {
			n.links[[2]string{l.To, l.From}] = l.Link
		}
	}
	return n, nil
}

func (n *Network) addRow(row []string) error {
	for i := range row {
		row[i] = strings.TrimSpace(row[i])
	}
	ping, err := strconv.ParseFloat(row[2], 64)
	oneWay := ping / 2 * float64(time.Millisecond)
	if err != nil || !(oneWay >= 0 && oneWay <= float64(MaxLatency)) {
		return fmt.Errorf("ping is %.40q, want milliseconds from 0 to %d", row[2], 2*MaxLatency.Milliseconds())
	}
	mbits, err := strconv.ParseFloat(row[3], 64)
	if err != nil {
		return fmt.Errorf("bandwidth is %.40q, want a number of Mbit/s", row[3])
	}
	return n.addNew(row[0], row[1], Link{
		Latency:   time.Duration(math.Round(oneWay)),
		Bandwidth: math.RoundToEven(mbits * bytesPerMbit),
	})
}
