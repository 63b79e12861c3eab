package split

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxStages is the largest number of stages in a partition and of hosts in a Problem.
	MaxStages = 64
	// MaxLayers is the largest number of layers in a profile and in a Problem.
	MaxLayers = 1 << 16
	// maxName is the longest host name in bytes.
	maxName = 255
)

// Segment is the range of layers [From, To).
type Segment struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// Len is the number of layers in the segment.
func (s Segment) Len() int { return s.To - s.From }

// String gives the first and the last layer, both included: "0-6" is Segment{0, 7}.
func (s Segment) String() string {
	return strconv.Itoa(s.From) + "-" + strconv.Itoa(s.To-1)
}

// Stage is a segment and the host that runs it, or the hosts that run it together, see [Stage.Workers].
type Stage struct {
	Host    string  `json:"host"`
	Segment Segment `json:"segment"`
}

// String is "host:first-last", both layers included.
func (s Stage) String() string { return s.Host + ":" + s.Segment.String() }

// Partition is the stages of a run in order; together they tile the model. A partition over one host is
// native execution. A host may appear more than once. As text (String, and in JSON) it is
// "device:0-6,edge:7-11,cloud:12-65": first and last layer of each stage, both included. A tiled stage names all
// its workers, "edge1+edge2:7-11", see [Stage.Workers].
type Partition []Stage

// String is the text form, which [ParsePartition] reads.
func (p Partition) String() string {
	var b strings.Builder
	for i, s := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(s.String())
	}
	return b.String()
}

// MarshalText is String.
func (p Partition) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the text form with all numbers given ("end" and "all" need the number of layers, see
// [ParsePartition]).
func (p *Partition) UnmarshalText(text []byte) error {
	q, err := ParsePartition(string(text), 0)
	if err != nil {
		return err
	}
	*p = q
	return nil
}

// Native says whether one host runs the whole model.
func (p Partition) Native() bool {
	for _, s := range p {
		if s.Host != p[0].Host || s.Tiled() {
			return false
		}
	}
	return true
}

// Validate checks that the stages have proper host names, are not empty, and tile layers [0, layers).
func (p Partition) Validate(layers int) error {
	if err := p.validate(layers); err != nil {
		return fmt.Errorf("split: partition %.200q: %w", p.String(), err)
	}
	return nil
}

func (p Partition) validate(layers int) error {
	if err := p.tile(); err != nil {
		return err
	}
	if end := p[len(p)-1].Segment.To; end != layers {
		return fmt.Errorf("stages end before layer %d, want %d, the number of layers", end, layers)
	}
	return nil
}

// tile checks everything but where the last stage ends.
func (p Partition) tile() error {
	if len(p) == 0 || len(p) > MaxStages {
		return fmt.Errorf("got %d stages, want 1 to %d", len(p), MaxStages)
	}
	next := 0
	for i, s := range p {
		if err := checkStageHost(s.Host); err != nil {
			return fmt.Errorf("stage %d: %w", i, err)
		}
		if s.Segment.From != next {
			return fmt.Errorf("stage %d (%s) starts at layer %d, want %d", i, s.Host, s.Segment.From, next)
		}
		if s.Segment.To <= s.Segment.From {
			return fmt.Errorf("stage %d (%s) ends at layer %d, want %d or later",
				i, s.Host, s.Segment.To-1, s.Segment.From)
		}
		next = s.Segment.To
	}
	return nil
}

// checkHost refuses names that could not be told apart in a partition's text.
func checkHost(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("host name has %d bytes, want 1 to %d", len(name), maxName)
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("host name %q is not UTF-8", name)
	}
	for _, r := range name {
		if strings.ContainsRune(",:@"+workerMark+shareMark, r) || unicode.IsSpace(r) || !unicode.IsGraphic(r) {
			return fmt.Errorf("host name %q contains %q", name, r)
		}
	}
	return nil
}

// ParsePartition reads "device:0-6,edge:7-end". The number of layers says what "end" (the last layer) and
// "all" (every layer) mean and where the stages must end; where it is 0 or less it is unknown, and these
// words are errors.
func ParsePartition(s string, layers int) (Partition, error) {
	p, addresses, err := ParseStages(s, layers)
	if err != nil {
		return nil, err
	}
	for host := range addresses {
		return nil, fmt.Errorf("split: stages %.200q: host %s has an address, want a name only", s, host)
	}
	return p, nil
}

// ParseStages is [ParsePartition] for stages with or without addresses,
// "device:0-6,edge@10.0.0.2:7070:7-11,cloud@[2001:db8::1]:7070:12-end". An address is host:port, the port a
// number, an IPv6 address in brackets. The map has the address of each host that has one; a host that
// appears twice needs its address only once. In a tiled stage the address of a worker stands before its share,
// "edge1@10.0.0.2:7070*3+edge2@10.0.0.3:7070*2:4-20".
func ParseStages(s string, layers int) (Partition, map[string]string, error) {
	fail := func(err error) (Partition, map[string]string, error) {
		return nil, nil, fmt.Errorf("split: stages %.200q: %w", s, err)
	}
	var p Partition
	addresses := map[string]string{}
	for part := range strings.SplitSeq(s, ",") {
		if len(p) == MaxStages {
			return fail(fmt.Errorf("more than %d stages", MaxStages))
		}
		part = strings.TrimSpace(part)
		colon := strings.LastIndexByte(part, ':')
		if colon < 0 {
			return fail(fmt.Errorf("%q has no layers, want NAME:FIRST-LAST or NAME@HOST:PORT:FIRST-LAST", part))
		}
		segment, err := parseSegment(part[colon+1:], layers)
		if err != nil {
			return fail(fmt.Errorf("%q: %w", part, err))
		}
		host, err := takeAddresses(part[:colon], addresses)
		if err != nil {
			return fail(fmt.Errorf("%q: %w", part, err))
		}
		p = append(p, Stage{host, segment})
	}
	check := p.tile
	if layers > 0 {
		check = func() error { return p.validate(layers) }
	}
	if err := check(); err != nil {
		return fail(err)
	}
	return p, addresses, nil
}

// takeAddresses moves the addresses of hosts, "edge@10.0.0.2:7070" or of several workers, to a map.
func takeAddresses(hosts string, addresses map[string]string) (names string, err error) {
	workers := strings.Split(hosts, workerMark)
	for i, w := range workers {
		name, address, addressed := strings.Cut(w, "@")
		if !addressed {
			continue
		}
		workers[i] = name
		if len(workers) > 1 {
			var share string
			var shared bool
			if address, share, shared = strings.Cut(address, shareMark); shared {
				workers[i] += shareMark + share
			}
		}
		if err := checkAddress(address); err != nil {
			return "", err
		}
		if other, ok := addresses[name]; ok && other != address {
			return "", fmt.Errorf("host %q has two addresses, %s and %s", name, other, address)
		}
		addresses[name] = address
	}
	return strings.Join(workers, workerMark), nil
}

// ParseSegment reads "FIRST-LAST", both layers included, "FIRST-end" or "all" of a model with the given
// number of layers.
func ParseSegment(s string, layers int) (Segment, error) {
	segment, err := parseSegment(s, layers)
	if err == nil && (segment.From >= segment.To || layers > 0 && segment.To > layers) {
		err = fmt.Errorf("layers %q, want FIRST-LAST within 0 to %d", s, layers-1)
	}
	if err != nil {
		return Segment{}, fmt.Errorf("split: %w", err)
	}
	return segment, nil
}

func parseSegment(s string, layers int) (Segment, error) {
	if s == "all" {
		s = "0-end"
	}
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		return Segment{}, fmt.Errorf("layers %q, want FIRST-LAST, FIRST-end or all", s)
	}
	from, err := parseLayer(first)
	if err != nil {
		return Segment{}, err
	}
	if last == "end" {
		if layers <= 0 {
			return Segment{}, fmt.Errorf("layers %q: the last layer is not known here, want its number", s)
		}
		return Segment{from, layers}, nil
	}
	to, err := parseLayer(last)
	if err != nil {
		return Segment{}, err
	}
	return Segment{from, to + 1}, nil
}

// parseLayer reads a layer number: digits only.
func parseLayer(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n >= MaxLayers {
		return 0, fmt.Errorf("layer %q, want a number from 0 to %d", s, MaxLayers-1)
	}
	return int(n), nil
}

// checkAddress checks the form host:port or [IPv6]:port; it looks nothing up.
func checkAddress(address string) error {
	const want = "want HOST:PORT or [IPV6]:PORT"
	colon := strings.LastIndexByte(address, ':')
	if colon <= 0 {
		return fmt.Errorf("address %q, %s", address, want)
	}
	host := address[:colon]
	if port, err := strconv.ParseUint(address[colon+1:], 10, 16); err != nil || port == 0 {
		return fmt.Errorf("address %q: port %q, want a number from 1 to 65535", address, address[colon+1:])
	}
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		inner, bracketed = strings.CutSuffix(inner, "]")
	}
	for _, r := range inner {
		if r == ':' && bracketed {
			continue
		}
		if strings.ContainsRune(":@[]/", r) || unicode.IsSpace(r) || !unicode.IsGraphic(r) || r == utf8.RuneError {
			return fmt.Errorf("address %q contains %q where it may not, %s", address, r, want)
		}
	}
	if inner == "" || strings.HasPrefix(host, "[") && !bracketed {
		return fmt.Errorf("address %q, %s", address, want)
	}
	return nil
}
