package transport

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"scission/engine/tensor"
	"scission/transport/simnet"
)

// hole is a connection that can lose all that is written to it.
type hole struct {
	net.Conn
	open *atomic.Bool
}

func (h hole) Write(b []byte) (int, error) {
	if h.open.Load() {
		return len(b), nil
	}
	return h.Conn.Write(b)
}

// greeted runs f with two Conns over x and y behind a handshake, on a clock of
// their own. What one of them sends vanishes once its element of vanish is true.
func greeted(t *testing.T, la, lb Limits, pipe func() (x, y net.Conn), f func(t *testing.T, a, b *Conn, vanish *[2]atomic.Bool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		x, y := pipe()
		var vanish [2]atomic.Bool
		a, b := NewConn(hole{x, &vanish[0]}, la), NewConn(hole{y, &vanish[1]}, lb)
		defer a.Close()
		defer b.Close()
		done := make(chan error, 1)
		go func() {
			_, err := b.Handshake(t.Context(), Hello{})
			done <- err
		}()
		_, err := a.Handshake(t.Context(), Hello{})
		if err = errors.Join(err, <-done); err != nil {
			t.Fatal(err)
		}
		f(t, a, b, &vanish)
	})
}

func over(l simnet.Link) func() (x, y net.Conn) {
	return func() (x, y net.Conn) { return simnet.Pipe(l, l) }
}

// silent checks that a call begun at start failed because of the silence, in time.
func silent(t *testing.T, what string, start time.Time, err error) {
	t.Helper()
	const bound = 6 * time.Second // SPEC.md, section 6
	if took := time.Since(start); !errors.Is(err, ErrTimeout) || took > bound {
		t.Errorf("%s: error %v after %v, want %v within %v", what, err, took, ErrTimeout, bound)
	}
}

func TestPeerThatVanishesIsFoundWithinTheSpecifiedTime(t *testing.T) {
	large := &Message{Tensors: []*tensor.Tensor{tensor.New(tensor.Uint8, 8<<20)}}
	for what, call := range map[string]func(t *testing.T, c *Conn) error{
		"Receive": func(t *testing.T, c *Conn) error { _, _, err := c.Receive(t.Context()); return err },
		"Await":   func(t *testing.T, c *Conn) error { return c.Await(t.Context()) },
		"Send":    func(t *testing.T, c *Conn) error { _, err := c.Send(t.Context(), large, nil); return err },
		"no call": func(t *testing.T, c *Conn) error {
			time.Sleep(6 * time.Second)
			_, err := c.Send(t.Context(), &Message{}, nil)
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			link := simnet.Link{Latency: 10 * time.Millisecond, Bandwidth: 100 << 10} // of which 8 MiB take longer
			greeted(t, Limits{}, Limits{}, over(link), func(t *testing.T, a, b *Conn, vanish *[2]atomic.Bool) {
				time.Sleep(time.Minute)
				vanish[0].Store(what != "Send") // whose bytes are to be on their way
				vanish[1].Store(true)
				start := time.Now()
				err := call(t, a)
				silent(t, what, start, err)
				_, _, err = a.Receive(t.Context())
				silent(t, "the next call", start, err)
			})
		})
	}
}

// Neither a peer that computes for long nor one that is asked nothing for long
// is taken for dead, and beats do not pile up where nobody reads: this pipe holds
// nothing at all.
func TestBeatsKeepAConnectionForAsLongAsItIsNeeded(t *testing.T) {
	greeted(t, Limits{}, Limits{}, net.Pipe, func(t *testing.T, a, b *Conn, _ *[2]atomic.Bool) {
		for range 3 {
			go func() {
				m, _, err := b.Receive(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				id := m.ID
				time.Sleep(time.Hour)
				if _, err := b.Send(t.Context(), &Message{ID: id}, nil); err != nil {
					t.Error(err)
				}
			}()
			if _, err := a.Send(t.Context(), &Message{ID: 7}, nil); err != nil {
				t.Fatal(err)
			}
			if err := a.Await(t.Context()); err != nil {
				t.Fatal(err)
			}
			if m, _, err := a.Receive(t.Context()); err != nil || m.ID != 7 {
				t.Fatalf("got error %v", err)
			}
			time.Sleep(time.Hour)
		}
	})
}

// A request that takes half a minute to arrive, most of it in buffers that Send
// does not wait for, is no silence.
func TestSlowLinkIsNotSilence(t *testing.T) {
	const size = 3 << 20
	greeted(t, Limits{}, Limits{}, over(simnet.Link{Bandwidth: 100 << 10}), func(t *testing.T, a, b *Conn, _ *[2]atomic.Bool) {
		go func() {
			m, _, err := b.Receive(t.Context())
			if err == nil {
				_, err = b.Send(t.Context(), &Message{ID: m.ID}, nil)
			}
			if err != nil {
				t.Error(err)
			}
		}()
		if _, err := a.Send(t.Context(), &Message{ID: 7, Tensors: []*tensor.Tensor{tensor.New(tensor.Uint8, size)}}, nil); err != nil {
			t.Fatal(err)
		}
		sent := time.Now()
		if m, _, err := a.Receive(t.Context()); err != nil || m.ID != 7 || time.Since(sent) < 8*time.Second {
			t.Errorf("got error %v after %v, want none after more than 8s", err, time.Since(sent))
		}
	})
}

// A frame that waits for its Receive holds up the reading of beats behind it.
func TestUnreadFrameIsASignOfLife(t *testing.T) {
	greeted(t, Limits{}, Limits{}, over(simnet.Link{}), func(t *testing.T, a, b *Conn, _ *[2]atomic.Bool) {
		if _, err := b.Send(t.Context(), &Message{ID: 7}, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if m, _, err := a.Receive(t.Context()); err != nil || m.ID != 7 {
			t.Errorf("got error %v", err)
		}
	})
}

func TestEndBetweenFramesIsToldAsSuchHoweverLate(t *testing.T) {
	greeted(t, Limits{}, Limits{}, over(simnet.Link{}), func(t *testing.T, a, b *Conn, _ *[2]atomic.Bool) {
		b.Close()
		time.Sleep(time.Minute)
		if _, _, err := a.Receive(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("got error %v, want EOF", err)
		}
	})
}

func TestPeerWithoutBeatsMayBeSilent(t *testing.T) {
	greeted(t, Limits{}, Limits{Beat: -1}, over(simnet.Link{}), func(t *testing.T, a, b *Conn, _ *[2]atomic.Bool) {
		time.AfterFunc(time.Hour, func() { b.Send(t.Context(), &Message{ID: 7}, nil) })
		if m, _, err := a.Receive(t.Context()); err != nil || m.ID != 7 {
			t.Errorf("got error %v", err)
		}
	})
}

// Beats are not what an idle limit is about.
func TestIdlePeerThatBeatsIsCutOff(t *testing.T) {
	greeted(t, Limits{Idle: time.Minute}, Limits{}, over(simnet.Link{}), func(t *testing.T, a, b *Conn, _ *[2]atomic.Bool) {
		start := time.Now()
		if _, _, err := a.Receive(t.Context()); !errors.Is(err, ErrTimeout) {
			t.Errorf("got error %v, want %v", err, ErrTimeout)
		}
		elapsed(t, start, time.Minute)
	})
}
