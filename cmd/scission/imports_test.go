package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// rules say which packages of ours each package may import, besides those below
// itself. The longest prefix counts. Tests may import more, but no rule-bound
// package's tests may import cmd.
var rules = []struct {
	pkg string
	may []string
}{
	{"engine/tensor", nil},
	{"engine/tensor/npy", []string{"engine/tensor"}},
	{"engine/tensor/picture", []string{"engine/tensor"}},
	{"engine/tensor/tensortest", []string{"engine/tensor"}},
	{"engine/graph", []string{"engine/tensor"}},
	{"engine", []string{"engine/graph", "engine/tensor"}},
	{"ops", []string{"engine/graph", "engine/tensor", "ops/internal"}},
	{"ops/internal", []string{"ops/internal"}},
	{"onnximport", []string{"engine/graph", "engine/tensor", "ops", "onnximport/internal"}},
	{"onnximport/onnxgo", []string{"engine", "engine/graph", "engine/tensor", "ops", "onnximport", "onnximport/internal"}},
	{"onnximport/internal", nil},
	{"transport", []string{"engine/tensor"}},
	{"split", nil},
	{"split/adapt", []string{"split"}},
	{"split/compat", []string{"split"}},
	{"split/cut", []string{"engine/graph", "engine/tensor", "split", "split/maxflow"}},
	{"split/live", []string{"engine/graph", "engine/tensor", "split", "split/run"}},
	{"split/maxflow", nil},
	{"split/run", []string{"engine", "engine/graph", "engine/tensor", "transport", "transport/keys", "transport/simnet", "split", "split/cut", "split/tile"}},
	{"split/tile", []string{"engine/graph", "engine/tensor", "ops", "split", "split/cut"}},
	{"bench", []string{""}},
	{"cmd", []string{""}},
}

func within(pkg, root string) bool {
	return root == "" || pkg == root || strings.HasPrefix(pkg, root+"/")
}

// Every file is parsed, whatever its build tags: a check that asks the go
// command misses files of other platforms, and is answered from a cache.
func TestPackagesImportOnlyWhatTheArchitectureAllows(t *testing.T) {
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		if d.IsDir() {
			if d.Name() == ".git" || d.Name() == "testdata" || d.Name() == ".venv" || rel == "ops/internal/asmgen" || rel == "bench/peers" || rel == "bench/chaos" {
				return filepath.SkipDir // not ours, or a module of its own
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		files++
		pkg := rel[:max(0, strings.LastIndexByte(rel, '/'))]
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		best := -1
		for i, r := range rules {
			if within(pkg, r.pkg) && (best < 0 || len(r.pkg) > len(rules[best].pkg)) {
				best = i
			}
		}
		if best < 0 {
			t.Errorf("%s: package %s has no rule", rel, pkg)
			return nil
		}
		for _, im := range f.Imports {
			name, err := strconv.Unquote(im.Path.Value)
			if err != nil {
				return err
			}
			if name == "C" {
				t.Errorf("%s uses cgo", rel)
			}
			ours, ok := strings.CutPrefix(name, "scission/")
			if !ok || within(ours, rules[best].pkg) && rules[best].pkg != "engine" && rules[best].pkg != "split" && rules[best].pkg != "ops" {
				continue
			}
			allowed := ours == rules[best].pkg
			for _, may := range rules[best].may {
				allowed = allowed || may == "" || ours == may || strings.HasSuffix(may, "/internal") && within(ours, may)
			}
			if !allowed {
				t.Errorf("%s: package %s may not import %s", rel, pkg, ours)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Errorf("looked at %d files: not the project?", files)
	}
}

func TestTheProductIsMadeWithoutCgo(t *testing.T) {
	for _, pattern := range []string{"*.c", "*.h", "*.cc", "*.cpp"} {
		for _, depth := range []string{"", "*/", "*/*/", "*/*/*/"} {
			found, err := filepath.Glob(filepath.Join("..", "..", depth+pattern))
			if err != nil {
				t.Fatal(err)
			}
			if len(found) > 0 {
				t.Errorf("native sources: %v", found)
			}
		}
	}
}
