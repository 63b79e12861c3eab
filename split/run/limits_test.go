package run

import (
	"bytes"
	"strings"
	"testing"
)

func TestAModelAtTheLimitIsTakenAndAByteMoreIsNot(t *testing.T) {
	const limit = 100
	s := openStore(t, t.TempDir(), limit, 0)
	for size, fits := range map[int]bool{1: true, limit: true, limit + 1: false} {
		b := make([]byte, size)
		m, err := describe(bytes.NewReader(b), int64(size), nil)
		if err != nil {
			t.Fatal(err)
		}
		h := take(t, s, m)
		if err := h.claim([]int{0}); fits != (err == nil) || !fits && !strings.Contains(err.Error(), "101 bytes of a model, want at most 100") {
			t.Errorf("%d bytes: error %v", size, err)
		}
		if fits {
			if err := h.write(0, b); err != nil {
				t.Errorf("%d bytes: error %v", size, err)
			}
			h.unclaim([]int{0})
		}
		h.release()
	}
}
