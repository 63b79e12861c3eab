package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"scission/transport/keys"
)

// Each limit of the help can be set, to a value of its own and nothing else.
func TestEveryLimitCanBeSet(t *testing.T) {
	list := new(bounds).list()
	for i, l := range list {
		if !strings.Contains(limitsHelp(), "  "+l.name+" ") {
			t.Errorf("the help lacks %s", l.name)
		}
		text, want := fmt.Sprint(7+i), fmt.Sprint(7+i)
		if _, ok := l.value.(*time.Duration); ok {
			text, want = text+"s", (time.Duration(7+i) * time.Second).String()
		}
		c := serveConfig{Limits: map[string]string{l.name: text}}
		b, err := c.bounds()
		if err != nil {
			t.Fatal(err)
		}
		for k, other := range b.list() {
			got := "0"
			switch v := other.value.(type) {
			case *time.Duration:
				if got = v.String(); *v == 0 {
					got = "0"
				}
			case *int:
				got = fmt.Sprint(*v)
			case *int64:
				got = fmt.Sprint(*v)
			}
			if k == i && got != want || k != i && got != "0" {
				t.Errorf("%s=%s sets %s to %s", l.name, text, other.name, got)
			}
		}
	}
}

func TestRolesOfAFileAreAListOrText(t *testing.T) {
	for _, roles := range []string{"[run, upload]", "run,upload", "\n  - run\n  - upload"} {
		var c serveConfig
		if err := c.parse([]byte("allow:\n  device: " + roles)); err != nil {
			t.Errorf("%q: %v", roles, err)
			continue
		}
		if allow, err := c.roles(); err != nil || len(allow) != 1 || allow["device"] != keys.Run|keys.Upload {
			t.Errorf("%q: got %v, error %v", roles, allow, err)
		}
	}
	for _, roles := range []string{"{run: true}", "king", "[[run]]"} {
		var c serveConfig
		err := c.parse([]byte("allow:\n  device: " + roles))
		if err == nil {
			_, err = c.roles()
		}
		if err == nil {
			t.Errorf("%q: no error, %v", roles, c.Allow)
		}
	}
}

// FuzzServeConfig reads any file as a worker's configuration.
func FuzzServeConfig(f *testing.F) {
	f.Add([]byte("limits:\n  connections: 4\n  message: 20MB\n  idle-time: 5m\nallow:\n  device: [run, upload]\n  boss: [admin]\n"))
	f.Add([]byte("allow: {a: [\"run,upload\"]}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c serveConfig
		if c.parse(b) != nil {
			return
		}
		if limits, err := c.bounds(); (limits == nil) != (err != nil) {
			t.Fatalf("limits %v, error %v", limits, err)
		}
		if allow, err := c.roles(); err == nil && len(allow) != len(c.Allow) {
			t.Fatalf("read %v as %v", c.Allow, allow)
		}
	})
}
