package transport

import (
	"context"
	"errors"
	"testing"

	"scission/engine/tensor"
)

func TestInboxesKeepTheirMessages(t *testing.T) {
	a, b := tcp(t, Limits{})
	sent := []*Message{
		{Kind: 1, ID: 1, Meta: []byte("one"), Tensors: []*tensor.Tensor{relu(1000), relu(10)}},
		{Kind: 2, ID: 2, Tensors: []*tensor.Tensor{tensor.Of([]int32{4, 5, 6}, 3)}},
		{Kind: 3, ID: 3, Meta: []byte("three"), Tensors: []*tensor.Tensor{relu(5000)}},
	}
	go func() {
		for range 2 {
			for _, m := range sent {
				a.Send(context.Background(), m, always(ShuffleZstd))
			}
		}
	}()
	var inboxes [3]Inbox
	for range 2 { // the second time in the memory of the first
		var got [3]*Message
		for i := range got {
			var err error
			if got[i], _, err = b.ReceiveInto(context.Background(), &inboxes[i]); err != nil {
				t.Fatal(err)
			}
		}
		for i, m := range got {
			sameMessage(t, m, sent[i])
		}
	}
}

func TestWhatIsNotAdmittedTakesNoMemory(t *testing.T) {
	a, b := tcp(t, Limits{})
	const size = 4 << 20
	go a.Send(context.Background(), &Message{Kind: 9, Tensors: []*tensor.Tensor{tensor.New(tensor.Uint8, 5), tensor.New(tensor.Uint8, size)}}, nil)
	refused := errors.New("refused")
	in := &Inbox{Admit: func(kind uint8, bytes int) error {
		if kind != 9 || bytes != 5+size {
			t.Errorf("asked about kind %d and %d bytes, want 9 and %d", kind, bytes, 5+size)
		}
		return refused
	}}
	if _, _, err := b.ReceiveInto(context.Background(), in); !errors.Is(err, refused) {
		t.Errorf("got error %v, want that of Admit", err)
	}
	if cap(in.arena) > 0 {
		t.Errorf("%d bytes are allocated for what was refused", cap(in.arena))
	}
	if _, _, err := b.Receive(context.Background()); !errors.Is(err, refused) {
		t.Errorf("afterwards: got error %v, want that of Admit", err)
	}
}
