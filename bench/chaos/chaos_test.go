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

// The scenarios of the program, in short.
func TestNoAnswerIsWrongAndNoRequestIsLost(t *testing.T) {
	h, err := newHarness(t.Context(), 1, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	rows := h.all(sizes{kills: 8, silences: 1, toxics: 1, cycles: 40, requests: 800, clients: 100})
	if !printRows(os.Stdout, rows) {
		t.Error("not all is well")
	}
}
