package transport_test

import (
	"context"
	"fmt"
	"log"

	"scission/engine/tensor"
	"scission/transport"
)

// A server adds up what it is sent; the client's tensor travels compressed.
func Example() {
	ctx := context.Background()
	l, err := transport.Listen("127.0.0.1:0", transport.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		conn := transport.NewConn(c, transport.DefaultLimits)
		defer conn.Close()
		if _, err := conn.Handshake(ctx, transport.Hello{Meta: []byte("server")}); err != nil {
			return
		}
		m, _, err := conn.Receive(ctx)
		if err != nil {
			return
		}
		var sum float32
		for _, v := range m.Tensors[0].F32() {
			sum += v
		}
		conn.Send(ctx, &transport.Message{ID: m.ID, Tensors: []*tensor.Tensor{tensor.Scalar(sum)}}, nil)
	}()

	conn, err := transport.Dial(ctx, l.Addr().String(), transport.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	peer, err := conn.Handshake(ctx, transport.Hello{Meta: []byte("client")})
	if err != nil {
		log.Fatal(err)
	}
	x := tensor.New(tensor.Float32, 1, 1000)
	x.F32()[0], x.F32()[999] = 1, 2
	sent, err := conn.Send(ctx, &transport.Message{ID: 1, Tensors: []*tensor.Tensor{x}},
		func(int, *tensor.Tensor) transport.Codec { return transport.ShuffleZstd })
	if err != nil {
		log.Fatal(err)
	}
	m, _, err := conn.Receive(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %v\n", peer.Meta, m.Tensors[0].F32())
	fmt.Println("compressed:", sent.WireBytes < sent.RawBytes)
	// Output:
	// server: [3]
	// compressed: true
}
