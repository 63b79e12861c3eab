package ops

// A step is shared among workers in chunks of about chunkTime, so that the
// start of a chunk costs little, and in at most maxChunks, so that claiming
// them does not.
const (
	chunkTime = 5_000 // nanoseconds
	maxChunks = 32
)

// chunks returns into how many chunks n units of work of about ns nanoseconds
// each are cut: one, if all of it takes less than two times chunkTime. It is
// at least 1 and at most max(n, 1).
func chunks(n int, ns float64) int {
	want := float64(n) * ns / chunkTime
	return max(1, min(n, int(min(want, maxChunks))))
}

// span returns the bounds of chunk i when n units are cut into chunks. Chunks
// begin at multiples of align.
func span(n, chunks, i, align int) (lo, hi int) {
	each := (n + chunks - 1) / chunks
	each = (each + align - 1) / align * align
	lo = min(n, i*each)
	return lo, min(n, lo+each)
}
