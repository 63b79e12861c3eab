package ops

import "testing"

// taps and outputs are what trying every place gives.
func TestSlideRangesAreExact(t *testing.T) {
	for in := 1; in < 6; in++ {
		for kernel := 1; kernel < 4; kernel++ {
			for stride := 1; stride < 4; stride++ {
				for dilation := 1; dilation < 4; dilation++ {
					for before := range 5 {
						for behind := range 5 {
							for _, ceilMode := range []bool{false, true} {
								w := window{autoPad: "NOTSET", ceilMode: ceilMode}
								s, err := w.slide(in, kernel, stride, dilation, before, behind)
								if err != nil {
									continue
								}
								checkSlide(t, s)
							}
						}
					}
				}
			}
		}
	}
}

func checkSlide(t *testing.T, s slide) {
	t.Helper()
	hits := func(o, k int) bool {
		at := o*s.stride + k*s.dilation - s.before
		return at >= 0 && at < s.in
	}
	for o := range s.out {
		from, to := s.taps(o)
		for k := range s.kernel {
			if hits(o, k) != (k >= from && k < to) {
				t.Fatalf("%+v: taps(%d) = [%d, %d), place %d hits: %v", s, o, from, to, k, hits(o, k))
			}
		}
	}
	for k := range s.kernel {
		from, to := s.outputs(k)
		for o := range s.out {
			if hits(o, k) != (o >= from && o < to) {
				t.Fatalf("%+v: outputs(%d) = [%d, %d), output %d hits: %v", s, k, from, to, o, hits(o, k))
			}
		}
	}
}

func TestDescribeNamesWhatIsNotOne(t *testing.T) {
	for _, c := range []struct {
		w      window
		kernel []int
		want   string
	}{
		{window{}, nil, ""},
		{window{}, []int{3, 3}, "3x3"},
		{window{strides: []int{2, 2}, dilations: []int{1, 1}}, []int{3, 3}, "3x3,s2"},
		{window{strides: []int{2, 1}, dilations: []int{4}}, nil, "s2x1,d4"},
	} {
		if got := c.w.describe(c.kernel); got != c.want {
			t.Errorf("%+v, kernel %v: got %q, want %q", c.w, c.kernel, got, c.want)
		}
	}
}
