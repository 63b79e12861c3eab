package transport

import (
	"io"
	"net"
	"testing"
	"time"

	"scission/engine/tensor"
)

// BenchmarkOneWay sends 600 KB tensors over loopback, as raw frames and as bare
// bytes, in turns, and reports the best turn of each and their ratio.
func BenchmarkOneWay(b *testing.B) {
	const size, turn = 600 << 10, 32
	x := tensor.New(tensor.Uint8, size)
	copy(x.Raw, randomBytes(1, size))
	m := &Message{Tensors: []*tensor.Tensor{x}}
	ctx := b.Context()

	sender, receiver := tcp(b, Limits{})
	plain, plainPeer := tcp(b, Limits{})
	done := make(chan error)
	turns := []struct {
		name string
		send func() error
		recv func() error
		best time.Duration
	}{
		{name: "bare", send: func() error {
			_, err := plain.nc.Write(x.Raw)
			return err
		}, recv: bareReader(plainPeer.nc, size)},
		{name: "frame", send: func() error {
			_, err := sender.Send(ctx, m, nil)
			return err
		}, recv: func() error {
			_, _, err := receiver.Receive(ctx)
			return err
		}},
	}
	for b.Loop() {
		for i := range turns {
			t := &turns[i]
			go func() {
				var err error
				for n := 0; n < turn && err == nil; n++ {
					err = t.recv()
				}
				done <- err
			}()
			start := time.Now()
			for range turn {
				if err := t.send(); err != nil {
					b.Fatal(err)
				}
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			if took := time.Since(start); t.best == 0 || took < t.best {
				t.best = took
			}
		}
	}
	for _, t := range turns {
		b.ReportMetric(size*turn/1e6/t.best.Seconds(), t.name+"-MB/s")
	}
	b.ReportMetric(float64(turns[0].best)/float64(turns[1].best), "frame/bare")
}

func bareReader(c net.Conn, size int) func() error {
	buf := make([]byte, size)
	return func() error {
		_, err := io.ReadFull(c, buf)
		return err
	}
}

// BenchmarkRoundTrip sends a tensor and gets a message without tensors back.
func BenchmarkRoundTrip(b *testing.B) {
	ctx := b.Context()
	client, server := tcp(b, Limits{})
	go func() {
		for {
			m, _, err := server.Receive(ctx)
			if err != nil {
				return
			}
			if _, err := server.Send(ctx, &Message{ID: m.ID}, nil); err != nil {
				return
			}
		}
	}()
	for _, size := range []struct {
		name  string
		bytes int
	}{{"10KB", 10 << 10}, {"100KB", 100 << 10}, {"600KB", 600 << 10}, {"3MB", 3 << 20}} {
		for _, c := range Codecs() {
			b.Run(size.name+"/"+c.Name(), func(b *testing.B) {
				m, pick := &Message{Tensors: []*tensor.Tensor{relu(size.bytes / 4)}}, always(c)
				b.SetBytes(int64(size.bytes))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := client.Send(ctx, m, pick); err != nil {
						b.Fatal(err)
					}
					if _, _, err := client.Receive(ctx); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
