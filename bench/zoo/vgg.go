package zoo

import (
	"fmt"

	"scission/engine/graph"
)

// vgg is VGG with the given number of convolutions in each of its five blocks
// (Simonyan, Zisserman: Very Deep Convolutional Networks, 2015, table 1).
func vgg(depths ...int) func(*builder, *graph.Value) *graph.Value {
	return func(b *builder, x *graph.Value) *graph.Value {
		filters := []int{64, 128, 256, 512, 512}
		for i, depth := range depths {
			for j := range depth {
				name := fmt.Sprintf("block%d_conv%d", i+1, j+1)
				x = b.relu(name+"/relu", b.conv(name, x, filters[i], same(3, 1), true))
			}
			x = b.maxPool(fmt.Sprintf("block%d_pool", i+1), x, valid(2, 2))
		}
		x = b.flatten("flatten", x)
		for _, name := range []string{"fc1", "fc2"} {
			x = b.relu(name+"/relu", b.dense(name, x, 4096))
		}
		return b.classify("predictions", x)
	}
}
