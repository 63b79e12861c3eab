//go:build !unix && !windows

package run

import "time"

// cpuTime is not known here.
func cpuTime() time.Duration { return 0 }
