package main

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"scission/split"
	"scission/split/compat"
)

// format is a section of split/FORMATS.md.
type format struct {
	fields   []string          // of the table
	examples map[string]string // by language; the one without is a command, if there is
}

// formats are the sections by their titles.
func formats(t *testing.T) map[string]format {
	t.Helper()
	data, err := os.ReadFile("../../split/FORMATS.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
	block := regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	sections := map[string]format{}
	for _, text := range strings.Split(string(data), "\n## ")[1:] {
		title, text, _ := strings.Cut(text, "\n")
		f := format{examples: map[string]string{}}
		for _, m := range row.FindAllStringSubmatch(text, -1) {
			f.fields = append(f.fields, m[1])
		}
		for _, m := range block.FindAllStringSubmatch(text, -1) {
			f.examples[m[1]] = m[2]
		}
		sections[title] = f
	}
	return sections
}

// fieldsOf lists the paths of a type's fields in JSON; whole types are not
// looked into.
func fieldsOf(t reflect.Type, path string, whole ...reflect.Type) []string {
	text := reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()
	switch {
	case slices.Contains(whole, t) || t.Implements(text):
		return []string{path}
	case t.Kind() == reflect.Pointer:
		return fieldsOf(t.Elem(), path, whole...)
	case t.Kind() == reflect.Slice:
		return fieldsOf(t.Elem(), path+"[]", whole...)
	case t.Kind() == reflect.Map:
		return fieldsOf(t.Elem(), path+".HOST", whole...)
	case t.Kind() != reflect.Struct:
		return []string{path}
	}
	var paths []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			paths = append(paths, fieldsOf(f.Type, path, whole...)...)
			continue
		case !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		paths = append(paths, fieldsOf(f.Type, strings.TrimPrefix(path+"."+name, "."), whole...)...)
	}
	return paths
}

// pathsIn lists the paths of all fields in a JSON value.
func pathsIn(v any, path string, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			pathsIn(inner, strings.TrimPrefix(path+"."+name, "."), into)
		}
	case []any:
		for _, inner := range v {
			pathsIn(inner, path+"[]", into)
		}
	default:
		into[path] = true
	}
}

// sameFields compares the rows of a table with the fields that there are.
func sameFields(t *testing.T, title string, rows, fields []string) {
	t.Helper()
	for _, f := range fields {
		if !slices.Contains(rows, f) {
			t.Errorf("split/FORMATS.md, %s: field %s is not in the table", title, f)
		}
	}
	for _, r := range rows {
		if !slices.Contains(fields, r) {
			t.Errorf("split/FORMATS.md, %s: there is no field %s", title, r)
		}
	}
}

func TestTablesOfFormatsHaveEveryField(t *testing.T) {
	f := formats(t)
	estimate := reflect.TypeFor[split.Estimate]()
	sameFields(t, "Profile", f["Profile"].fields, append(fieldsOf(reflect.TypeFor[split.Profile](), ""), "version"))
	sameFields(t, "Accuracy", f["Accuracy"].fields, append(fieldsOf(reflect.TypeFor[split.Accuracy](), ""), "version"))
	var plan []string
	for _, path := range fieldsOf(reflect.TypeFor[planFile](), "", estimate) {
		plan = append(plan, path)
		if path == "estimates[]" {
			plan = append(plan, fieldsOf(estimate, path, reflect.TypeFor[*split.HopCost]())...) // those of tiles are like hops
		}
	}
	sameFields(t, "Plan", f["Plan"].fields, plan)
	// The types of networks, traces and answers are their packages' own: their examples have every field.
	for _, title := range []string{"Network", "Trace", "Answer of the original"} {
		var v any
		if err := json.Unmarshal([]byte(f[title].examples["json"]), &v); err != nil {
			t.Fatalf("%s: %v", title, err)
		}
		found := map[string]bool{}
		pathsIn(v, "", found)
		if title == "Answer of the original" {
			maps.DeleteFunc(found, func(path string, _ bool) bool {
				return strings.HasPrefix(path, "results[].edge.") || strings.HasPrefix(path, "results[].cloud.")
			})
			found["results[].edge"], found["results[].cloud"], found["fails"] = true, true, true
		}
		sameFields(t, title, f[title].fields, slices.Collect(maps.Keys(found)))
	}
}

func TestExamplesOfFormatsAreRead(t *testing.T) {
	f := formats(t)
	p, err := split.ReadProfile(strings.NewReader(f["Profile"].examples["json"]), split.MaxProfileBytes)
	if err != nil {
		t.Fatal(err)
	}
	if times := p.LayerTimes(); len(times) != 2 || p.Cut(1).Codecs[1].WireBytes != 633100 || p.Machine.Cores != 4 {
		t.Errorf("got %+v", p)
	}
	found := map[string]bool{}
	var v any
	if err := json.Unmarshal([]byte(f["Profile"].examples["json"]), &v); err != nil {
		t.Fatal(err)
	}
	pathsIn(v, "", found)
	sameFields(t, "example of a profile", f["Profile"].fields, slices.Collect(maps.Keys(found)))
	accuracy, err := split.ReadAccuracy(strings.NewReader(f["Accuracy"].examples["json"]), split.MaxAccuracyBytes)
	if err != nil || accuracy.Top1() != 0.921 || accuracy.Cuts[0].Codecs[1].Same != 995 {
		t.Errorf("got %+v, %v", accuracy, err)
	}
	for _, example := range []string{f["Network"].examples["json"], f["Network as csv"].examples["csv"]} {
		n, err := split.ReadNetwork(strings.NewReader(example), split.MaxNetworkBytes)
		if err != nil {
			t.Fatal(err)
		}
		if links := n.Links(); len(links) != 4 {
			t.Errorf("got %v, want 4 links", links)
		}
	}
	if _, err := compat.ReadNetwork(strings.NewReader(f["Network as csv"].examples["csv"]), compat.MaxNetworkBytes); err != nil {
		t.Error(err)
	}
	trace, err := split.ReadTrace(strings.NewReader(f["Trace"].examples["json"]), split.MaxTraceBytes)
	if err != nil || len(trace.Links) != 3 || len(trace.Hosts) != 1 {
		t.Errorf("got %+v, error %v, want 3 links and a host", trace, err)
	}
	d := json.NewDecoder(strings.NewReader(f["Plan"].examples["json"]))
	d.DisallowUnknownFields()
	var strict planFile
	if err := d.Decode(&strict); err != nil {
		t.Error(err)
	}
	path := t.TempDir() + "/plan.json"
	if err := os.WriteFile(path, []byte(f["Plan"].examples["json"]), 0o644); err != nil {
		t.Fatal(err)
	}
	plan, err := readPlan(path)
	if err != nil || plan.Estimates[0].Partition.String() != "phone:0-5,hall:6-41" {
		t.Errorf("got %v, error %v", plan, err)
	}
}

func TestExamplesOfFormatsAreWhatCommandsPrint(t *testing.T) {
	ran := 0
	examples := formats(t)
	t.Chdir("../..")
	for title, f := range examples {
		command, ok := strings.CutPrefix(f.examples[""], "$ scission ")
		if !ok {
			continue
		}
		ran++
		out, _ := want(t, exitOK, strings.Fields(strings.ReplaceAll(command, "'", ""))...)
		var got, shown any
		for text, v := range map[string]*any{out: &got, f.examples["json"]: &shown} {
			if err := json.Unmarshal([]byte(text), v); err != nil {
				t.Fatalf("%s: %v", title, err)
			}
		}
		if !reflect.DeepEqual(got, shown) {
			t.Errorf("split/FORMATS.md, %s: the command prints\n%s", title, out)
		}
	}
	if ran != 2 {
		t.Errorf("%d commands, want 2", ran)
	}
}
