package ops

import (
	"reflect"
	"slices"

	"scission/engine/graph"
)

// maxAlike is how many readers of a value are compared, and maxAlikeBytes how
// large a constant, so that no graph takes long.
const (
	maxAlike      = 64
	maxAlikeBytes = 1 << 10
)

// mergeAlike lets n do the work of one later node that is alike: with an equal
// operator and the same inputs, or constants of the same bits. The operator may
// hold no zero of floating point, whose sign is not compared.
func mergeAlike(e *graph.Editor, n *graph.Node) bool {
	users := e.Users(n.In[0])
	for _, u := range users[:min(len(users), maxAlike)] {
		if u == n || len(u.Out) != 1 || len(n.Out) != 1 || e.IsOutput(u.Out[0]) {
			continue
		}
		if slices.EqualFunc(u.In, n.In, sameValue) && reflect.DeepEqual(u.Op, n.Op) && e.Before(n, u) {
			e.Remove(u, n.Out[0])
			return true
		}
	}
	return false
}

// sameValue reports whether a and b are one value or small constants of the
// same bits.
func sameValue(a, b *graph.Value) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	return a.Const != nil && b.Const != nil && a.Bytes() <= maxAlikeBytes && a.Const.Identical(b.Const)
}
