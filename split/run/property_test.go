package run

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"os"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/split"
	"scission/transport"
	"scission/transport/keys"
	"scission/transport/simnet"
)

// drawn is a random network and an input of it. Each layer mixes the values that
// reads lists for it: value 0 is the input, and value i+1 what layer i gives.
type drawn struct {
	model  Model
	file   []byte // that stands for the model's
	reads  [][]int
	in     *tensor.Tensor
	stages split.Partition
}

func drawNetwork(t *rapid.T) *drawn {
	shape := rapid.SampledFrom([]tensor.Shape{{1}, {50}, {1, 3, 5, 7}, {2, 4, 20, 3}, {5000}}).Draw(t, "shape")
	d := &drawn{in: tensortest.Random(rapid.Uint64().Draw(t, "seed"), shape...)}
	if rapid.Bool().Draw(t, "sparse") {
		for i, x := range d.in.F32() {
			d.in.F32()[i] = max(x, 0)
		}
	}
	g := &graph.Graph{Name: "drawn"}
	values := []*graph.Value{g.Input("x", d.in.Type)}
	for i := range rapid.IntRange(1, 7).Draw(t, "layers") {
		reads := []int{i}
		if skip := rapid.IntRange(0, i).Draw(t, "reads too"); skip < i {
			reads = append(reads, skip)
		}
		var in []*graph.Value
		for _, v := range reads {
			in = append(in, values[v])
		}
		out, err := g.Add(fmt.Sprint("layer", i), mix{}, nil, in, fmt.Sprint("v", i))
		if err != nil {
			t.Fatal(err)
		}
		d.reads, values = append(d.reads, reads), append(values, out[0])
	}
	g.Outputs = values[len(values)-1:]
	for at := 0; at < len(d.reads); {
		to := rapid.IntRange(at+1, len(d.reads)).Draw(t, "cut")
		host := rapid.SampledFrom([]string{"device", "edge", "cloud"}).Draw(t, "host")
		d.stages = append(d.stages, split.Stage{Host: host, Segment: split.Segment{From: at, To: to}})
		at = to
	}
	d.file = fmt.Appendln(nil, shape, d.reads) // which is another one for another network
	sum := sha256.Sum256(d.file)
	d.model = Model{Name: g.Name, Digest: hex.EncodeToString(sum[:]), Graph: g, Content: NewContent(bytes.NewReader(d.file), int64(len(d.file)), nil)}
	return d
}

// whole is what the unsplit network gives.
func (d *drawn) whole(t *rapid.T) *tensor.Tensor {
	n := &Node{Name: "device", Threads: 1}
	return d.run(t, n, Deployment{Model: d.model, Stages: split.Partition{{Host: "device", Segment: split.Segment{From: 0, To: len(d.reads)}}}})
}

func (d *drawn) run(t *rapid.T, n *Node, as Deployment) *tensor.Tensor {
	out, err := d.try(n, as)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (d *drawn) try(n *Node, as Deployment) (*tensor.Tensor, error) {
	e, err := n.Open(context.Background(), as)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	out, _, err := e.Run(context.Background(), []*tensor.Tensor{d.in})
	if err != nil {
		return nil, err
	}
	return out[0].Clone(), nil
}

// deployment is that of the stages with one codec on all hops.
func (d *drawn) deployment(c transport.Codec, hops []split.Hop) Deployment {
	as := Deployment{Model: d.model, Stages: d.stages, Codecs: map[split.Hop]string{}, Lossy: !c.Lossless()}
	for _, h := range hops {
		as.Codecs[h] = c.Name()
	}
	return as
}

// check says whether an output is that of the whole, or as far from it as the
// codec may make it.
func (d *drawn) check(got, want *tensor.Tensor, c transport.Codec, hops []split.Hop) error {
	if !c.Lossless() {
		return tensortest.Diff(got, want, 0, d.bound(c.Name(), hops))
	}
	if !got.Identical(want) {
		return errors.New("the result is not that of the whole")
	}
	return nil
}

// bound is how far from the whole's an output may be after hops with a lossy
// codec: what each may change of the values that cross its cut, and what mixing
// makes of that.
func (d *drawn) bound(codec string, hops []split.Hop) float64 {
	off := []float64{0}
	values := [][]float32{d.in.F32()}
	for p := 0; ; p++ {
		for _, h := range hops {
			for v := range p + 1 {
				if h.Position == p && d.crosses(v, p) {
					off[v] += lost(codec, values[v], off[v])
				}
			}
		}
		if p == len(d.reads) {
			return off[p]
		}
		next, far := make([]float32, d.in.Shape.Elems()), 0.
		for k, v := range d.reads[p] {
			far = far*0.7 + float64(k+1)*off[v]
			for i, x := range values[v] {
				next[i] = next[i]*0.7 + float32(k+1)*x
			}
		}
		values, off = append(values, next), append(off, far)
	}
}

// crosses says whether value v is there before layer p and used from there on.
func (d *drawn) crosses(v, p int) bool {
	return p == len(d.reads) && v == p || slices.ContainsFunc(d.reads[p:], func(reads []int) bool { return slices.Contains(reads, v) })
}

// lost is what the documentation allows a codec to change of values that are off
// themselves, and a little for rounding.
func lost(codec string, values []float32, off float64) float64 {
	least, most := float64(slices.Min(values))-off, float64(slices.Max(values))+off
	largest := max(math.Abs(least), math.Abs(most))
	rounding := largest * 1e-5
	switch codec {
	case "f16":
		return max(largest/(1<<11), 1./(1<<25)) + rounding
	case "bf16":
		return largest/(1<<8) + rounding
	case "u8", "u8-channel":
		return (most-least)/255/2 + rounding
	case "u4":
		return (most-least)/15/2 + rounding
	}
	panic("no bound is known of " + codec)
}

// Over random networks, cuts, inputs and ways, plain and encrypted: with each
// lossless codec the results are those of the unsplit run bit for bit, and with
// each lossy one within its bound, whether the edge knows the cloud or not.
func TestSplitsOfAnyNetworkEqualTheWholeOverTCPAndTLS(t *testing.T) {
	var graphs sync.Map // by the content of the model's file
	load := func(path string, _ map[string]tensor.Shape) (*graph.Graph, io.Closer, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		g, ok := graphs.Load(string(b))
		if !ok {
			return nil, nil, fmt.Errorf("no network is known by %q", b)
		}
		return g.(*graph.Graph), nil, nil
	}
	issue := issuer(t)
	for _, wire := range []string{"TCP", "TLS"} {
		t.Run(wire, func(t *testing.T) {
			start := func(name string, peers map[string]string) (addr string) {
				return worker(t, name, nil, func(n *Node) {
					n.Load, n.Peers = load, peers
					if wire == "TLS" {
						n.Transport.Keys = issue(name, keys.All)
					}
				})
			}
			device := &Node{Name: "device", Threads: 1}
			if wire == "TLS" {
				device.Transport.Keys = issue(device.Name, keys.All)
			}
			cloud := start("cloud", nil)
			edges := map[bool]string{true: start("edge", map[string]string{"cloud": cloud}), false: start("edge", nil)} // by whether it knows the cloud
			rapid.Check(t, func(t *rapid.T) {
				d := drawNetwork(t)
				graphs.Store(string(d.file), d.model.Graph)
				want := d.whole(t)
				linked := rapid.Bool().Draw(t, "linked")
				device.Peers = map[string]string{"edge": edges[linked], "cloud": cloud}
				hops := split.Hops(d.stages, device.Name, func(string, string) bool { return linked })
				for _, c := range transport.Codecs() {
					if err := d.check(d.run(t, device, d.deployment(c, hops)), want, c, hops); err != nil {
						t.Fatalf("%v with %s: %v", d.stages, c.Name(), err)
					}
				}
			})
		})
	}
}

// pipes connects hosts in memory. The connection to a host breaks behind so many
// bytes in a direction, named as in "edge back".
type pipes struct {
	workers map[string]*Node
	breaks  map[string]simnet.Link
	serving sync.WaitGroup

	mu   sync.Mutex
	ends map[string][]int64 // behind which byte each write ended
}

func (p *pipes) dial(ctx context.Context, host, _ string) (net.Conn, error) {
	there, back := host+" there", host+" back"
	a, b := simnet.Pipe(p.breaks[there], p.breaks[back])
	p.serving.Go(func() { p.workers[host].Serve(context.Background(), &noted{Conn: b, p: p, way: back}) })
	return &noted{Conn: a, p: p, way: there}, nil
}

// noted notes where writes end.
type noted struct {
	net.Conn
	p    *pipes
	way  string
	sent int64
}

func (c *noted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.sent += int64(n)
	c.p.ends[c.way] = append(c.p.ends[c.way], c.sent)
	return n, err
}

// overPipes runs a deployment on workers that have no models.
func (d *drawn) overPipes(t *rapid.T, as Deployment, breaks map[string]simnet.Link) (out *tensor.Tensor, ends map[string][]int64, err error) {
	p := &pipes{workers: map[string]*Node{}, breaks: breaks, ends: map[string][]int64{}}
	device := &Node{Name: "device", Threads: 1, DialConn: p.dial, Peers: map[string]string{"edge": "pipe", "cloud": "pipe"}}
	for _, name := range []string{"edge", "cloud"} {
		dir, err := os.MkdirTemp("", "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		store, err := OpenStore(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		p.workers[name] = &Node{Name: name, Threads: 1, Store: store, DialConn: p.dial,
			Load: func(string, map[string]tensor.Shape) (*graph.Graph, io.Closer, error) { return d.model.Graph, nil, nil }}
	}
	p.workers["edge"].Peers = map[string]string{"cloud": "pipe"}
	out, err = d.try(device, as)
	p.serving.Wait()
	return out, p.ends, err
}

// At whichever end of a frame a connection breaks, a run is an error or its
// results are as without that: never others, whatever the codec.
func TestABrokenConnectionGivesAnErrorOrTheResultsOfTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawNetwork(t)
		want := d.whole(t)
		hops := split.Hops(d.stages, "device", nil)
		c := rapid.SampledFrom(transport.Codecs()).Draw(t, "codec")
		as := d.deployment(c, hops)
		out, ends, err := d.overPipes(t, as, nil)
		if err == nil {
			err = d.check(out, want, c, hops)
		}
		if err != nil {
			t.Fatalf("%v with %s: %v", d.stages, c.Name(), err)
		}
		if len(ends) == 0 {
			return // nothing travels
		}
		way := rapid.SampledFrom(slices.Sorted(maps.Keys(ends))).Draw(t, "way")
		slices.Sort(ends[way]) // which may be of several connections
		for _, at := range slices.Compact(ends[way]) {
			out, _, err := d.overPipes(t, as, map[string]simnet.Link{way: {Cut: at}})
			if err != nil {
				continue
			}
			if err := d.check(out, want, c, hops); err != nil {
				t.Fatalf("%v with %s, %s broken behind byte %d: %v", d.stages, c.Name(), way, at, err)
			}
		}
	})
}
