package run

import "errors"

// HostError says of which other host an error is, or to which the way failed.
type HostError struct {
	Host string
	Err  error // which names it
}

func (e *HostError) Error() string { return e.Err.Error() }
func (e *HostError) Unwrap() error { return e.Err }

// Culprit returns the host that err is of, by its name in the stages: where hosts
// hand on to each other, the one that failed and not those that tell of it. It is
// empty if err is of no other host.
func Culprit(err error) string {
	var h *HostError
	if errors.As(err, &h) {
		return h.Host
	}
	return ""
}
