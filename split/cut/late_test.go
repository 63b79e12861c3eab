package cut

import (
	"slices"
	"testing"

	"scission/engine/graph"
)

// open is a test operator whose result has a type that only a run knows.
type open struct{ mix }

func (open) Infer(in []graph.Fact) ([]graph.Fact, error) { return nil, graph.ErrLate }

func TestThereIsNoCutWhereLateValuesLive(t *testing.T) {
	g := &graph.Graph{}
	x := g.Input("x", vector)
	a := add(g, "a", x)
	late, err := g.Add("late", open{}, nil, []*graph.Value{a}, "late")
	if err != nil {
		t.Fatal(err)
	}
	b := add(g, "b", late[0], a)
	g.Outputs = []*graph.Value{add(g, "c", b)}
	var at []int
	for _, c := range Find(g, 0) {
		at = append(at, c.Position)
	}
	// Behind a; not behind late nor b.
	if want := []int{0, 1, 4}; !slices.Equal(at, want) {
		t.Errorf("got cuts at %v, want %v", at, want)
	}
}
