package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/onnximport"
	"scission/split/run"
	"scission/transport"
	"scission/transport/keys"
)

// maxServeConfig bounds the bytes of a worker's configuration.
const maxServeConfig = 1 << 18

// serveConfig is what a worker bounds and whom it allows what: the file that
// --config names, with --limit and --allow before it.
type serveConfig struct {
	Limits map[string]string   `yaml:"limits"`
	Allow  map[string]roleList `yaml:"allow"` // by the name of a certificate

	file          string
	limits, allow []string // flags
}

// roleList is names of roles: in YAML a list, or text as --allow takes it.
type roleList []string

// UnmarshalYAML is yaml.Unmarshaler's.
func (r *roleList) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*r = roleList{n.Value}
		return nil
	}
	return n.Decode((*[]string)(r))
}

// shortcuts are limits that have flags of their own.
var shortcuts = map[string]string{
	"batch": "batch", "max-connections": "connections", "max-memory": "memory", "max-model": "model", "max-store": "store",
}

func (s *serveConfig) flags(c *cobra.Command) {
	f := c.Flags()
	for flag, name := range shortcuts {
		f.String(flag, "", "the limit "+name+": `N`")
	}
	f.StringVar(&s.file, "config", "", "YAML `FILE` with limits and allow")
	f.StringArrayVar(&s.limits, "limit", nil, "`NAME=VALUE` of a limit; see the list above")
	f.StringArrayVar(&s.allow, "allow", nil, "`NAME=ROLES` that a certificate of this name has here, of those that it grants, such as device=run,upload; who is not named may then do nothing")
}

// bounds is everything that --limit can set.
type bounds struct {
	node      run.Node // the worker, of which this sets the limits
	transport transport.Limits
	model     onnximport.Limits

	modelBytes, storeBytes int64
}

// bound is one of them: where it is, and what it is without a word about it.
type bound struct {
	name  string
	value any // *int, *int64 or *time.Duration
	usual any // nil says that doc tells
	doc   string
}

func (b *bounds) list() []bound {
	d := transport.DefaultLimits
	t, n, m := &b.transport, &b.node, &b.model
	return []bound{
		{"connections", &n.MaxConns, run.DefaultMaxConns, "connections served at once"},
		{"connections-each", &n.MaxPeerConns, run.DefaultMaxPeerConns, "of them, those of certificates of one name"},
		{"in-flight", &n.InFlight, run.DefaultInFlight, "runs of a connection that are here at once"},
		{"in-flight-bytes", &n.InFlightBytes, run.DefaultInFlightBytes, "bytes of their inputs, decoded, if it is more than one run"},
		{"runs", &n.MaxRuns, run.DefaultMaxRuns, "runs of all connections that are in hand at once; others are told busy"},
		{"computing", &n.Computing, nil, "stages that compute at once; without, one for each processor"},
		{"batch", &n.Batch, run.DefaultBatch, "runs of a connection that are computed together at most, where they wait and are faster so; 1 for none"},
		{"handshakes", &n.MaxHandshakes, run.DefaultMaxHandshakes, "connections that are not served yet, or told that there is no room"},
		{"handshake-time", &t.Handshake, d.Handshake, "for TLS and the greetings"},
		{"idle-time", &t.Idle, nil, "between requests of a connection; without, none"},
		{"request-time", &n.MaxTime, run.DefaultMaxTime, "for one request"},
		{"slow-time", &t.Grace, d.Grace, "that a message may take whatever its size"},
		{"slow-rate", &t.MinRate, d.MinRate, "bytes a second that a message must make beyond that"},
		{"meta", &t.Meta, d.Meta, "bytes of a message's description"},
		{"tensor", &t.Tensor, d.Tensor, "bytes of a tensor, decoded"},
		{"message", &t.Tensors, d.Tensors, "bytes of all tensors of a message, decoded"},
		{"tensors", &t.Count, d.Count, "tensors of a message"},
		{"memory", &n.Memory, nil, "bytes of activations of the stages of a connection; without, the engine's limit"},
		{"model", &b.modelBytes, int64(run.DefaultModelLimit), "bytes of a model that is sent"},
		{"store", &b.storeBytes, int64(run.DefaultStoreLimit), "bytes of all models; those that were not used for longest make room"},
		{"model-depth", &m.Depth, nil, "nesting of a model's messages; without, 64"},
		{"model-name", &m.Name, nil, "bytes of a name in a model; without, 65536"},
		{"model-nodes", &m.Nodes, nil, "nodes of a model, subgraphs included; without, 2^20"},
		{"model-attributes", &m.Attributes, nil, "their attributes; without, 2^22"},
		{"model-tensors", &m.Tensors, nil, "initializers and tensors of attributes; without, 2^20"},
		{"model-value", &m.Value, nil, "bytes of any value of a model; without, the engine's limit"},
		{"model-constants", &m.Constants, nil, "bytes of a model's constants beyond its file; without, 1 GiB and 8 times the file"},
	}
}

// load is run.Node.Load within the bounds.
func (b *bounds) load(path string, shapes map[string]tensor.Shape) (*graph.Graph, io.Closer, error) {
	return loadWithin(path, shapes, b.model)
}

// limitsHelp lists the limits for people.
func limitsHelp() string {
	var text strings.Builder
	for _, l := range new(bounds).list() {
		fmt.Fprintf(&text, "  %-17s %s", l.name, l.doc)
		if l.usual != nil {
			fmt.Fprintf(&text, " (%v)", l.usual)
		}
		text.WriteByte('\n')
	}
	return text.String()
}

// set reads a value. Sizes may have kB, MB or GB; none is 0.
func (l bound) set(text string) error {
	switch v := l.value.(type) {
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return usagef("limit %s=%s, want a time above 0, such as 5s", l.name, text)
		}
		*v = d
	case *int:
		n, err := parseBytes(text)
		if err != nil || n < 1 {
			return usagef("limit %s=%s, want a number above 0", l.name, text)
		}
		*v = int(min(n, math.MaxInt))
	case *int64:
		n, err := parseBytes(text)
		if err != nil || n < 1 {
			return usagef("limit %s=%s, want a number above 0", l.name, text)
		}
		*v = n
	}
	return nil
}

// read is what the file says and, before it, the flags.
func (s *serveConfig) read(c *cobra.Command) (*bounds, map[string]keys.Roles, error) {
	if s.file != "" {
		b, err := readBounded(s.file, maxServeConfig)
		if err != nil {
			return nil, nil, err
		}
		if err := s.parse(b); err != nil {
			return nil, nil, fmt.Errorf("%w: %s: %w", errUsage, s.file, err)
		}
	}
	if s.Limits == nil {
		s.Limits = map[string]string{}
	}
	for flag, name := range shortcuts {
		if f := c.Flags().Lookup(flag); f.Changed {
			s.Limits[name] = f.Value.String()
		}
	}
	for _, l := range s.limits {
		name, value, ok := strings.Cut(l, "=")
		if !ok {
			return nil, nil, usagef("--limit %q, want NAME=VALUE", l)
		}
		s.Limits[name] = value
	}
	for _, l := range s.allow {
		name, roles, ok := strings.Cut(l, "=")
		if !ok {
			return nil, nil, usagef("--allow %q, want NAME=ROLES", l)
		}
		if s.Allow == nil {
			s.Allow = map[string]roleList{}
		}
		s.Allow[name] = roleList{roles}
	}
	b, err := s.bounds()
	if err != nil {
		return nil, nil, err
	}
	allow, err := s.roles()
	return b, allow, err
}

// parse reads the text of a file. Names that it does not know are errors.
func (s *serveConfig) parse(b []byte) error {
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(s); err != nil && err != io.EOF { // which is an empty file
		return err
	} else if err == nil && d.Decode(&yaml.Node{}) != io.EOF {
		return errors.New("more than one document")
	}
	return nil
}

// bounds is what the configuration says.
func (s *serveConfig) bounds() (*bounds, error) {
	b := &bounds{}
	list := b.list()
	for name, value := range s.Limits {
		i := slices.IndexFunc(list, func(l bound) bool { return l.name == name })
		if i < 0 {
			return nil, usagef("limit %q is not known; want one of\n%s", name, limitsHelp())
		}
		if err := list[i].set(value); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// roles is whom the configuration allows what; nil is as certificates have it.
func (s *serveConfig) roles() (map[string]keys.Roles, error) {
	if s.Allow == nil {
		return nil, nil
	}
	allow := map[string]keys.Roles{}
	for name, roles := range s.Allow {
		r, err := keys.ParseRoles(strings.Join(roles, ","))
		if err == nil {
			err = keys.CheckName(name)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		allow[name] = r
	}
	return allow, nil
}
