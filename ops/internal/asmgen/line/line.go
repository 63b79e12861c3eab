// Package line has the constants of Winograd's F(4, r) along a line, which the generators share.
package line

// Line is F(4, Kernel) with the points 0, infinity and plus and minus each of some others.
type Line struct {
	Kernel, Patch int
	Polynomials   [][]float64 // of all points squared, then of all but each one, from the second highest power on
	Powers        [][]float64 // of each point, from 1 to 3
}

// All is the lines of package winograd, with its points.
var All = []Line{line(3, 3./4, 3./2), line(7, 3./8, 3./4, 5./4, 5./2)}

func line(kernel int, points ...float64) Line {
	l := Line{Kernel: kernel, Patch: kernel + 3, Polynomials: [][]float64{polynomial(points, -1)}}
	for i, p := range points {
		l.Polynomials = append(l.Polynomials, polynomial(points, i))
		l.Powers = append(l.Powers, []float64{p, p * p, p * p * p})
	}
	return l
}

// polynomial returns the coefficients of the product of x - p² over all points but one, without the first, which is 1.
func polynomial(points []float64, but int) []float64 {
	c := []float64{1}
	for i, p := range points {
		if i == but {
			continue
		}
		c = append(c, 0)
		for j := len(c) - 1; j > 0; j-- {
			c[j] -= p * p * c[j-1]
		}
	}
	return c[1:]
}
