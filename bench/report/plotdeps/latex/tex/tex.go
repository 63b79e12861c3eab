// Package tex has what gonum.org/v1/plot wants of the package of that name, see the README.md above.
package tex

// Tree is a box with others in it.
type Tree interface{ Box }

// Box is a piece of text with its size.
type Box interface {
	Width() float64
	Height() float64
	Depth() float64
}

// Ship would place boxes.
type Ship struct{}

// Call does nothing.
func (*Ship) Call(h, v float64, tree Tree) {}
