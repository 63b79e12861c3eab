package run

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

func TestAModelAtTheLimitIsTakenAndAByteMoreIsNot(t *testing.T) {
	const limit = 100
	s, err := OpenStore(t.TempDir(), limit)
	if err != nil {
		t.Fatal(err)
	}
	for size, fits := range map[int]bool{0: false, 1: true, limit: true, limit + 1: false} {
		b := make([]byte, size)
		sum := sha256.Sum256(b)
		u, err := s.create(hex.EncodeToString(sum[:]), int64(size))
		if fits != (err == nil) || !fits && !strings.Contains(err.Error(), "want 1 to 100") {
			t.Fatalf("%d bytes: error %v", size, err)
		}
		if fits {
			if done, err := u.write(b); !done || err != nil {
				t.Errorf("%d bytes: done %v, error %v", size, done, err)
			}
		}
	}
}
