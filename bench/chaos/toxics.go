package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"scission/split/live"
)

// toxic is something that a proxy does to the connections through it.
type toxic struct {
	name       string
	kind       string // of toxiproxy
	stream     string // upstream: from this host to the worker; downstream
	attributes string
	lasts      time.Duration // at most; as often as it is put on, it is taken off
	long       bool          // it is put on less often
	harmless   bool          // it only delays, so that nothing needs to be retried
}

// toxics are the ways in which a connection goes bad. One that is silent must
// last until that is found.
var toxics = []toxic{
	{name: "reset", kind: "reset_peer", stream: "downstream", attributes: `{"timeout":0}`, lasts: 100 * time.Millisecond},
	{name: "reset of requests", kind: "reset_peer", stream: "upstream", attributes: `{"timeout":0}`, lasts: 100 * time.Millisecond},
	{name: "end within a frame", kind: "limit_data", stream: "downstream", attributes: `{"bytes":40000}`, lasts: 300 * time.Millisecond},
	{name: "end within a request", kind: "limit_data", stream: "upstream", attributes: `{"bytes":40000}`, lasts: 300 * time.Millisecond},
	{name: "blackhole of answers", kind: "timeout", stream: "downstream", attributes: `{"timeout":0}`, lasts: 8 * time.Second, long: true},
	{name: "blackhole of requests", kind: "timeout", stream: "upstream", attributes: `{"timeout":0}`, lasts: 8 * time.Second, long: true},
	{name: "slow link: 1 MB/s", kind: "bandwidth", stream: "upstream", attributes: `{"rate":1000}`, lasts: 2 * time.Second, long: true, harmless: true},
	{name: "latency 50 ± 50 ms", kind: "latency", stream: "downstream", attributes: `{"latency":50,"jitter":50}`, lasts: 2 * time.Second, long: true, harmless: true},
	{name: "six bytes at a time", kind: "slicer", stream: "upstream", attributes: `{"average_size":6,"size_variation":3,"delay":1}`, lasts: time.Second, long: true, harmless: true},
}

// proxied puts a toxic on the way to the only worker and takes it off again, n
// times, each time at a random moment.
func (h *harness) proxied(x toxic, n int) func(r *row) error {
	return func(r *row) (err error) {
		r.fallback = true
		before := stood.Load()
		edge, err := h.newWorker("edge")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, edge.stop()) }()
		server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
		proxy := toxiproxy.NewProxy(server, "edge", "127.0.0.1:0", edge.addr)
		if err := proxy.Start(); err != nil {
			return err
		}
		defer proxy.Stop()
		node := h.node(edge)
		node.Peers["edge"] = proxy.Listen
		k, ev, err := h.keep(node, true, "device:0-1,edge:2-7")
		if err != nil {
			return err
		}
		defer k.Close()
		stop := make(chan struct{})
		wait := h.load(&r.tally, k, callers, deadline, stop)
		defer wait()
		defer close(stop)
		for range n {
			h.pause(2 * betweenKills)
			said := fmt.Sprintf(`{"name":"toxic","type":%q,"stream":%q,"toxicity":1,"attributes":%s}`, x.kind, x.stream, x.attributes)
			if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(said)); err != nil {
				return err
			}
			time.Sleep(x.lasts)
			if err := proxy.Toxics.RemoveToxic(context.Background(), "toxic"); err != nil {
				return err
			}
			time.Sleep(time.Second) // for the worker to be asked again
		}
		r.note("%v", ev)
		if n := ev.count(live.Retried); x.harmless && n > 0 && stood.Load() == before {
			r.failf("%d requests were retried though nothing was lost", n)
		}
		return nil
	}
}
