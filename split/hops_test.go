package split

import (
	"fmt"
	"slices"
	"testing"
)

func TestHopsGoThereAndComeBackTheSameWay(t *testing.T) {
	star := func(a, b string) bool { return a == "device" || b == "device" }
	edgeToCloud := func(a, b string) bool { return a+b == "edgecloud" || star(a, b) }
	tests := []struct {
		stages string
		linked func(a, b string) bool
		want   string
	}{
		{"device:0-4", nil, "[]"},
		{"edge:0-4", nil, "[device→edge@0 edge→device@5 back]"},
		{"device:0-1,edge:2-4", nil, "[device→edge@2 edge→device@5 back]"},
		{"edge:0-1,device:2-4", nil, "[device→edge@0 edge→device@2]"},
		{"device:0-1,device:2-4", nil, "[]"},
		{"edge:0-1,edge:2-4", nil, "[device→edge@0 edge→device@5 back]"},
		{
			"device:0-1,edge:2-2,cloud:3-4", edgeToCloud,
			"[device→edge@2 edge→cloud@3 cloud→edge@5 back edge→device@5 back]",
		},
		// Through the source: the outputs stop there and do not go on to the edge.
		{
			"device:0-1,edge:2-2,cloud:3-4", star,
			"[device→edge@2 edge→device@3 device→cloud@3 cloud→device@5 back]",
		},
		{"edge:0-2,cloud:3-4", star, "[device→edge@0 edge→device@3 device→cloud@3 cloud→device@5 back]"},
		// A stage on the source ends the way back too.
		{
			"edge:0-0,device:1-2,cloud:3-4", nil,
			"[device→edge@0 edge→device@1 device→cloud@3 cloud→device@5 back]",
		},
		{
			"edge:0-0,hub:1-1,cloud:2-2,far:3-4", func(a, b string) bool { return a+b != "hubcloud" },
			"[device→edge@0 edge→hub@1 hub→device@2 device→cloud@2 cloud→far@3 far→cloud@5 back cloud→device@5 back]",
		},
	}
	for _, tt := range tests {
		p, err := ParsePartition(tt.stages, 5)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(Hops(p, "device", tt.linked)); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.stages, got, tt.want)
		}
	}
	if got := Hops(nil, "device", nil); !slices.Equal(got, nil) {
		t.Errorf("hops of no stages: %v", got)
	}
}
