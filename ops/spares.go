package ops

// spares keeps what a call of a kernel needs besides the memory that it is
// given, such as lists of tensors, so that calls allocate nothing once each
// worker has had one. It may be used concurrently.
type spares[T any] struct {
	free  chan *T
	fresh func() *T
}

// maxSpares is the number of free ones that are kept.
const maxSpares = 64

// sparesOf returns spares that are made by fresh where none is free.
func sparesOf[T any](fresh func() *T) spares[T] {
	return spares[T]{make(chan *T, maxSpares), fresh}
}

// get returns one that nobody else uses.
func (s spares[T]) get() *T {
	select {
	case t := <-s.free:
		return t
	default:
		return s.fresh()
	}
}

// put gives back one that get returned.
func (s spares[T]) put(t *T) {
	select {
	case s.free <- t:
	default:
	}
}
