package run

import (
	"os"
	"syscall"
	"testing"
)

// A part takes about as much of the disk as its weights.
func TestPartTakesNoMoreOfTheDiskThanItsBytes(t *testing.T) {
	s := openStore(t, t.TempDir(), 0, 0)
	m, b := pieces(t, 1, 64)
	h := take(t, s, m)
	defer h.release()
	put(t, h, b, 0, 17, 40)
	if err := h.save(); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(h.path())
	if err != nil {
		t.Fatal(err)
	}
	disk := st.Sys().(*syscall.Stat_t).Blocks * 512
	if want := int64(2<<20 + 1000); st.Size() != m.size || disk < want || disk > want+64<<10 {
		t.Errorf("the file has %d bytes and takes %d, want %d and about %d", st.Size(), disk, m.size, want)
	}
}
