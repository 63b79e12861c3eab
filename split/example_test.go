package split_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"scission/split"
)

// Rank the ways to run a model on a device and an edge host from what was measured.
func ExampleProblem_Rank() {
	pb := split.Problem{Hosts: []string{"device", "edge"}, Profiles: map[string]*split.Profile{}}
	for _, host := range pb.Hosts {
		f, err := os.Open(filepath.Join("../testdata/plans/toy", host+".profile.json"))
		if err != nil {
			log.Fatal(err)
		}
		defer f.Close()
		if pb.Profiles[host], err = split.ReadProfile(f, split.MaxProfileBytes); err != nil {
			log.Fatal(err)
		}
	}
	device := pb.Profiles["device"]
	pb.Layers, pb.Positions = len(device.Layers), device.Positions()

	fast, err := split.ParseBandwidth("8Mbit/s")
	if err != nil {
		log.Fatal(err)
	}
	pb.Network = &split.Network{}
	if err := pb.Network.SetBoth("device", "edge", split.Link{Latency: 5e6, Bandwidth: fast}); err != nil {
		log.Fatal(err)
	}

	best, err := pb.Rank(split.Query{Top: 3})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range best {
		fmt.Println(e)
	}
	// Output:
	// 454ms device:0-1,edge:2-3 (compute 343ms, travel 111ms, coding 0s, 2 hops, 101000 bytes)
	// 557ms device:0-0,edge:1-3 (compute 46ms, travel 511ms, coding 0s, 2 hops, 501000 bytes)
	// 640ms device:0-3 (compute 640ms)
}

// The hops of a partition are what an executor follows.
func ExampleHops() {
	p, err := split.ParsePartition("device:0-6,edge:7-11,cloud:12-end", 66)
	if err != nil {
		log.Fatal(err)
	}
	for _, h := range split.Hops(p, "device", nil) {
		fmt.Println(h)
	}
	// Output:
	// device→edge@7
	// edge→cloud@12
	// cloud→edge@66 back
	// edge→device@66 back
}
