package report

import (
	"bufio"
	"bytes"
	"fmt"
	"html"
	"io"
	"time"

	"scission/split"
)

// Page is what the HTML page shows.
type Page struct {
	Title    string
	Emulated []string // what of it is emulated
	Sections []Section
	// Validations are predictions and what came of them, and Figures pictures of that.
	Validations []*Validation
	Figures     []*Figure
}

// Section is the part of a page about one network.
type Section struct {
	Title    string
	Profiles []*split.Profile
	Best     []split.Estimate
	Verdict  string // whether to split, and what would change that
	Figures  []*Figure
}

const style = `body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 2rem 0; overflow-x: auto; }
figure svg { max-width: 100%; height: auto; }
figcaption { color: #555; font-size: 90%; }
.emulated { background: #fff4d6; padding: .5rem 1rem; }
`

// Write writes the page: one file that refers to nothing outside itself. It is
// written without html/template, which would keep the linker from dropping what
// the program does not use.
func (p *Page) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	title := html.EscapeString(p.Title)
	fmt.Fprintf(b, `<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s</title>
<style>
%s</style>
<h1>%s</h1>
`, title, style, title)
	if len(p.Emulated) > 0 {
		fmt.Fprint(b, "<div class=\"emulated\">Emulated:<ul>")
		for _, e := range p.Emulated {
			fmt.Fprintf(b, "<li>%s</li>", html.EscapeString(e))
		}
		fmt.Fprint(b, "</ul></div>\n")
	}
	for _, section := range p.Sections {
		if err := section.write(b); err != nil {
			return err
		}
	}
	if len(p.Validations) > 0 {
		writeValidations(b, p.Validations)
		if err := writeFigures(b, p.Figures); err != nil {
			return err
		}
	}
	fmt.Fprint(b, "</html>\n")
	if err := b.Flush(); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func (s *Section) write(w io.Writer) error {
	fmt.Fprintf(w, "<h2>%s</h2>\n", html.EscapeString(s.Title))
	if s.Verdict != "" {
		fmt.Fprintf(w, "<p><b>%s</b></p>\n", html.EscapeString(s.Verdict))
	}
	fmt.Fprint(w, "<h3>Hosts</h3>\n<table>\n")
	row(w, "th", "host", "whole model, ms", "sum of layers, ms", "processor", "kernels", "threads", "measured")
	for _, h := range s.Profiles {
		all := split.Segment{From: 0, To: len(h.Layers)}
		row(w, "td", h.Host, ms(h.Whole.Median()), ms(h.SegmentTime(all)), h.Machine.CPU, h.Machine.ISA, h.Machine.Threads, h.Date.Format(time.DateTime))
	}
	fmt.Fprint(w, "</table>\n<h3>Best partitions</h3>\n<table>\n")
	row(w, "th", "partition", "predicted, ms", "hops", "bytes sent", "bytes that leave the source")
	for _, e := range s.Best {
		row(w, "td", e.Partition, ms(e.Total), len(e.Hops), e.WireBytes(), e.Egress())
	}
	fmt.Fprint(w, "</table>\n")
	return writeFigures(w, s.Figures)
}

func writeFigures(w io.Writer, figures []*Figure) error {
	for _, f := range figures {
		svg, err := f.SVG()
		if err != nil {
			return fmt.Errorf("report: figure %s: %w", f.Name, err)
		}
		// What stands before the element is for a file of its own.
		svg = svg[max(0, bytes.Index(svg, []byte("<svg"))):]
		fmt.Fprintf(w, "<figure id=%q>\n%s\n<figcaption><b>%s.</b> %s</figcaption>\n</figure>\n", html.EscapeString(f.Name), svg, html.EscapeString(f.Title), html.EscapeString(f.Caption))
	}
	return nil
}

// row writes a row of a table.
func row(w io.Writer, tag string, cells ...any) {
	fmt.Fprint(w, "<tr>")
	for _, c := range cells {
		fmt.Fprintf(w, "<%s>%s</%s>", tag, html.EscapeString(fmt.Sprint(c)), tag)
	}
	fmt.Fprint(w, "</tr>\n")
}

func ms(d time.Duration) string { return fmt.Sprintf("%.3f", milliseconds(d)) }
