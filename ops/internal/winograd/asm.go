//go:build (amd64 || arm64) && !purego

package winograd

// zeros are the rows or values that a patch lacks.
var zeros [max(patch*lanes, lineZeros)]float32

// first returns the address of the first value, nil if v is nil.
func first(v []float32) *float32 {
	if v == nil {
		return nil
	}
	return &v[0]
}
