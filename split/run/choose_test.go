package run

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/split"
	"scission/transport"
)

// Tensors of n float32s of different character.
func sparseTensor(n int) *tensor.Tensor {
	x := tensortest.Random(1, n)
	for i, v := range x.F32() {
		x.F32()[i] = max(v, 0)
	}
	return x
}

func noiseTensor(n int) *tensor.Tensor {
	x := tensor.New(tensor.Float32, n)
	rand.NewChaCha8([32]byte{}).Read(x.Raw)
	return x
}

func repeatedTensor(n int) *tensor.Tensor {
	x := tensor.New(tensor.Float32, n)
	part := noiseTensor(256).Raw
	for b := x.Raw; len(b) > 0; b = b[copy(b, part):] {
	}
	return x
}

// send is what Conn.Send does with a choice; it returns the codec's name and the
// bytes that the tensor takes.
func send(t *testing.T, c *choice, x *tensor.Tensor) (name string, wire int) {
	t.Helper()
	codec := c.pick(0, x)
	b, err := codec.Encode(nil, x.Raw, x.Type)
	if err != nil {
		t.Fatal(err)
	}
	back := tensor.New(x.DType, x.Shape...)
	if found, err := transport.CodecByName(codec.Name()); err != nil || found.ID() != codec.ID() {
		t.Fatalf("picked %s with id %d: %v", codec.Name(), codec.ID(), err)
	} else if err := found.Decode(back.Raw, b, x.Type); err != nil || found.Lossless() && !back.Identical(x) {
		t.Fatalf("%s: decoded to something else: %v", found.Name(), err)
	}
	return codec.Name(), len(b)
}

func choiceOf(t *testing.T, own string, d Deployment) *choice {
	t.Helper()
	h := split.Hop{From: "a", To: "b", Position: 1}
	d.Codecs = map[split.Hop]string{h: own}
	c, err := d.choiceFor(h)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// names sends tensors and lists the codecs in runs.
func names(t *testing.T, c *choice, times int, x *tensor.Tensor) (runs []string) {
	t.Helper()
	for range times {
		if name, _ := send(t, c, x); len(runs) == 0 || runs[len(runs)-1] != name {
			runs = append(runs, name)
		}
	}
	return runs
}

func TestSenderLeavesACodecThatDoesNotPayAndReturns(t *testing.T) {
	const own, raw = "zeros+huff0", "raw"
	c := choiceOf(t, own, Deployment{})
	for _, turn := range []struct {
		what  string
		x     *tensor.Tensor
		times int
		want  []string
	}{
		{"activations", sparseTensor(10000), 50, []string{own}},
		{"noise", noiseTensor(10000), patience + retry, []string{own, raw}},
		{"more noise", noiseTensor(10000), 2 * (retry + 1), []string{own, raw, own, raw}},
		{"activations again", sparseTensor(10000), 50, []string{own}},
		{"a single tensor of noise", noiseTensor(10000), 1, []string{own}},
		{"activations as before", sparseTensor(10000), 10, []string{own}},
	} {
		got := names(t, c, turn.times, turn.x)
		if turn.what == "activations again" {
			got = got[len(got)-1:] // when it returns depends on where it was
		}
		if !slices.Equal(got, turn.want) {
			t.Errorf("%s: sent with %v, want %v", turn.what, got, turn.want)
		}
	}
}

// How many tensors a return takes at most.
func TestSenderReturnsWithinARetry(t *testing.T) {
	c := choiceOf(t, "zeros+huff0", Deployment{})
	names(t, c, 40, noiseTensor(1000))
	x := sparseTensor(1000)
	for i := 0; ; i++ {
		if name, _ := send(t, c, x); name == "zeros+huff0" {
			break
		}
		if i > retry {
			t.Fatalf("still raw after %d tensors, want at most %d", i, retry)
		}
	}
	if got := names(t, c, 50, x); len(got) != 1 {
		t.Errorf("then sent with %v, want one codec", got)
	}
}

func TestSenderTakesAnAlternativeThatPays(t *testing.T) {
	c := choiceOf(t, "zeros+huff0", Deployment{Alternatives: []string{"raw", "zeros+huff0", "shuffle+zstd", "s2", "s2"}})
	got := names(t, c, 30, repeatedTensor(10000))
	// Shuffled, the repetition is there in each plane, too.
	if got[0] != "zeros+huff0" || got[1] != "shuffle+zstd" {
		t.Errorf("sent with %v, want the hop's own and then the first that pays", got)
	}
	for _, bad := range []string{"magic", "u8"} {
		h := split.Hop{From: "a", To: "b"}
		if _, err := (Deployment{Lossy: true, Alternatives: []string{bad}}).choiceFor(h); err == nil {
			t.Errorf("alternative %s is taken", bad)
		}
	}
}

// What a lossy codec gives must not depend on time or on what was sent before.
func TestSenderNeverLeavesALossyCodec(t *testing.T) {
	c := choiceOf(t, "u8", Deployment{Lossy: true, Alternatives: []string{"s2"}})
	if got := names(t, c, 100, noiseTensor(1000)); !slices.Equal(got, []string{"u8"}) {
		t.Errorf("sent with %v, want u8", got)
	}
}

// A codec that saves much less than it did stays on a slow link and goes on a fast one.
func TestTheLinkDecidesWhetherALittleIsWorthIt(t *testing.T) {
	const n, own = 20000, "zeros+huff0"
	little := tensortest.Random(3, n) // without zeros: a tenth or so
	for i, v := range little.F32() {
		little.F32()[i] = v + 0.001
	}
	mostlyZero := tensor.New(tensor.Float32, n)
	copy(mostlyZero.F32(), little.F32()[:n/8])
	for _, link := range []struct {
		bytesPerSecond float64
		want           string
	}{{1e5, own}, {1e13, "raw"}} {
		c := choiceOf(t, own, Deployment{})
		c.sent(1<<20, time.Duration(float64(1<<20)/link.bytesPerSecond*1e9)+1)
		names(t, c, 5, mostlyZero)
		names(t, c, patience, little)
		if name, _ := send(t, c, little); name != link.want {
			t.Errorf("at %g B/s sent with %s, want %s", link.bytesPerSecond, name, link.want)
		}
	}
	// Frames that are too small say nothing of the link.
	c := choiceOf(t, own, Deployment{})
	c.sent(100, 1)
	names(t, c, 5, mostlyZero)
	names(t, c, patience, little)
	if name, _ := send(t, c, little); name != own {
		t.Errorf("at an unknown speed sent with %s, want %s", name, own)
	}
}

// Over a real connection, too, the results are those of the whole when data changes, there and back.
func TestChangingDataChangesNoResults(t *testing.T) {
	const n = 2000
	g := residualOf(0, tensor.Shape{n})
	edge := worker(t, "edge", g, nil)
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	p := parse(t, "device:0-0,edge:1-5")
	hops := split.Hops(p, "device", nil)
	e, err := device.Open(context.Background(), Deployment{Model: testModel(g), Stages: p, Alternatives: []string{"s2"},
		Codecs: map[split.Hop]string{hops[0]: "zeros+huff0", hops[1]: "zeros+huff0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	finite := noiseTensor(n)
	for i := range n {
		finite.Raw[4*i+3] &= 0x3f // its exponents are of many values, but nothing is infinite
	}
	used := map[string]bool{}
	for _, x := range []*tensor.Tensor{sparseTensor(n), finite, sparseTensor(n)} {
		in := []*tensor.Tensor{x}
		want := whole(t, g, in)
		for range 2 * retry {
			out, spans, err := e.Run(context.Background(), in)
			if err != nil {
				t.Fatal(err)
			}
			if !out[0].Identical(want) {
				t.Fatal("the result is not that of the whole")
			}
			i := slices.IndexFunc(spans, func(s Span) bool { return s.What == Travel })
			used[spans[i].Codec] = true
		}
	}
	if !used["zeros+huff0"] || !used["raw"] {
		t.Errorf("the way there used %v, want the hop's own and raw", used)
	}
}

// Every codec on both ways of a hop: a lossless one changes no bit, and a lossy one little.
func TestSplitEqualsWholeWithEveryCodec(t *testing.T) {
	const n = 4096
	g := residualOf(0, tensor.Shape{1, 4, 32, 32})
	edge := worker(t, "edge", g, nil)
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	in := []*tensor.Tensor{tensor.Of(sparseTensor(n).F32(), 1, 4, 32, 32)}
	want := whole(t, g, in)
	for _, c := range transport.Codecs() {
		for _, stages := range []string{"device:0-0,edge:1-5", "device:0-1,edge:2-3,device:4-5"} {
			p := parse(t, stages)
			d := Deployment{Model: testModel(g), Stages: p, Codecs: map[split.Hop]string{}, Lossy: !c.Lossless()}
			for _, h := range split.Hops(p, "device", nil) {
				d.Codecs[h] = c.Name()
			}
			e, err := device.Open(context.Background(), d)
			if err != nil {
				t.Fatal(err)
			}
			out, _, err := e.Run(context.Background(), in)
			switch {
			case err != nil:
				t.Error(err)
			case c.Lossless() && !out[0].Identical(want):
				t.Errorf("%s, %s: the result is not that of the whole", c.Name(), stages)
			case !c.Lossless() && out[0].Identical(want):
				t.Errorf("%s, %s: nothing was changed: is it in use?", c.Name(), stages)
			case !c.Lossless():
				// A value is at most 11, and of 16 steps half of one is a thirtieth.
				if err := tensortest.Diff(out[0], want, 0, 11./15); err != nil {
					t.Errorf("%s, %s: %v", c.Name(), stages, err)
				}
			}
			e.Close()
		}
	}
}

func TestLossyCodecsNeedPermission(t *testing.T) {
	g := residual(0)
	edge := worker(t, "edge", g, nil)
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	p := parse(t, "device:0-0,edge:1-5")
	for _, h := range split.Hops(p, "device", nil) {
		d := Deployment{Model: testModel(g), Stages: p, Codecs: map[split.Hop]string{h: "u8"}}
		if _, err := device.Open(context.Background(), d); !errors.Is(err, ErrLossy) {
			t.Errorf("%v: got error %v, want %v", h, err, ErrLossy)
		}
		// Nor does a worker open it, should the device not have looked.
		pr, err := device.dial(context.Background(), "edge")
		if err != nil {
			t.Fatal(err)
		}
		if err := device.send(context.Background(), pr, d.Model, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := pr.open(context.Background(), d, p[1:]); h.Back && !errors.Is(err, ErrLossy) {
			t.Errorf("%v: the worker's error is %v, want %v", h, err, ErrLossy)
		}
		pr.conn.Close()
	}
}

// A host that may not take what lossy codecs have changed says so to its peer, which then cannot send it.
func TestLossyCodecsAreNotAnnouncedWithoutPermission(t *testing.T) {
	for _, lossy := range []bool{false, true} {
		a, b := net.Pipe()
		device := &Node{Name: "device", Peers: map[string]string{"edge": "pipe"},
			DialConn: func(context.Context, string, string) (net.Conn, error) { return a, nil }}
		told := make(chan []uint8, 1)
		go func() {
			conn := transport.NewConn(b, transport.Limits{})
			defer conn.Close()
			h, err := conn.Handshake(context.Background(), transport.Hello{Meta: []byte("{}")})
			if err != nil {
				t.Error(err)
			}
			told <- h.Codecs
		}()
		p, err := device.dialAs(context.Background(), "device", "edge", lossy)
		if err != nil {
			t.Fatal(err)
		}
		var want []uint8
		for _, c := range transport.Codecs() {
			if lossy || c.Lossless() {
				want = append(want, c.ID())
			}
		}
		if got := <-told; !bytes.Equal(got, want) {
			t.Errorf("lossy %v: announced codecs %v, want %v", lossy, got, want)
		}
		p.conn.Close()
	}
}
