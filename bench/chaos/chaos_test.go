package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The engine's workers sleep for the life of the process, and so does some of
	// the proxy.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("scission/bench/chaos.notice"), goleak.IgnoreAnyFunction("scission/engine.(*pool).loop"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"))
}

// The scenarios of the program, in short, and the first two over TLS.
func TestNoAnswerIsWrongAndNoRequestIsLost(t *testing.T) {
	for _, s := range []sizes{
		{kills: 8, silences: 1, toxics: 2, cycles: 40, requests: 800, clients: 100},
		{kills: 8, tls: true, only: kills},
	} {
		h, err := newHarness(t.Context(), s, t.Logf)
		if err != nil {
			t.Fatal(err)
		}
		rows := h.all(s)
		h.close()
		if !printRows(os.Stdout, rows) {
			t.Error("not all is well")
		}
	}
}
