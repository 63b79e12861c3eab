package compat

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ErrUsage is wrapped by the errors of a command line that the original refuses or dies of.
var ErrUsage = errors.New("usage")

// ErrHelp is returned for a command line that asks for help.
var ErrHelp = errors.New("help asked for")

// Query is a command line of the original.
type Query struct {
	Folder     string // of benchmark files
	Statistics string // network file; the original looks for it in the folder
	Model      string // in lower case
	Count      int    // of results, at least 1
	Input      float64
	Tiers      [tiers]TierQuery
}

// defaults of the original.
const (
	defaultCount = 5
	defaultInput = 0.15
)

// TierQuery is what a query demands of one tier.
type TierQuery struct {
	Criteria Criteria
	// Upload is the largest number of megabytes sent on from the tier; nil where there is no limit. The
	// cloud has none.
	Upload *float64
	Time   *TimeLimit // nil where there is no limit
}

// TimeLimit is the longest that a tier may compute: seconds, or per cent of what all tiers take.
type TimeLimit struct {
	Value   float64
	Percent bool
}

// Criteria are the terms of one of -d, -e and -c.
type Criteria struct {
	In, Out    []int // layers, or -1 for the tier being unused
	Names, Not []string
}

// Allow says whether a tier may run a range of layers, -1 to -1 where it is unused, on a system.
func (c *Criteria) Allow(first, last int, name string) bool {
	for _, layer := range c.In {
		if layer < first || layer > last {
			return false
		}
	}
	for _, layer := range c.Out {
		if first <= layer && layer <= last {
			return false
		}
	}
	used := first >= 0
	return (len(c.Names) == 0 || used && slices.Contains(c.Names, name)) &&
		(len(c.Not) == 0 || used && !slices.Contains(c.Not, name))
}

// parseCriteria reads a list of terms as the original does: only a term of digits or -1 is a layer, and any
// term that is -1 behind its first character excludes -1.
func parseCriteria(s string) (Criteria, error) {
	var c Criteria
	for _, term := range strings.Split(s, ",") {
		term = trim(term)
		switch {
		case term == "":
			return c, fmt.Errorf("%w: an empty term in %.80q", ErrUsage, s)
		case digits(term) || term == "-1":
			c.In = append(c.In, layer(term))
		case term[0] == '!' && digits(term[1:]) || behindFirst(term) == "-1":
			c.Out = append(c.Out, layer(behindFirst(term)))
		case term[0] == '!':
			c.Not = append(c.Not, term[1:])
		default:
			c.Names = append(c.Names, term)
		}
	}
	return c, nil
}

// behindFirst is a text without its first character.
func behindFirst(s string) string {
	for i := range s {
		if i > 0 {
			return s[i:]
		}
	}
	return ""
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// layer is the number of a term; one too large for any network stays so.
func layer(s string) int {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return math.MaxInt32
	}
	return int(n)
}

// parseTime reads a time limit, "0.5" or "25%".
func parseTime(s string) (*TimeLimit, error) {
	number, percent := strings.CutSuffix(s, "%")
	v, err := parseFloat(number)
	if err != nil {
		return nil, fmt.Errorf("%w: time limit is %.40q, want seconds, or per cent with a %%", ErrUsage, s)
	}
	return &TimeLimit{v, percent}, nil
}

const pythonSpace = " \t\n\r\v\f\x1c\x1d\x1e\x1f\u0085\u00a0"

func trim(s string) string { return strings.Trim(s, pythonSpace) }

var pythonFloat = regexp.MustCompile(`^(?i)[+-]?(inf(inity)?|nan|(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)(e[+-]?\d+(_\d+)*)?)$`)

// parseFloat reads what Python's float reads, but for digits of other scripts.
func parseFloat(s string) (float64, error) {
	s = trim(s)
	if !pythonFloat.MatchString(s) {
		return 0, strconv.ErrSyntax
	}
	v, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	if errors.Is(err, strconv.ErrRange) { // Python takes the infinity
		err = nil
	}
	return v, err
}

var pythonInt = regexp.MustCompile(`^[+-]?\d+(_\d+)*$`)

// parseInt reads what Python's int reads, up to the largest number of 32 bits, which stands for larger ones.
func parseInt(s string) (int, error) {
	s = trim(s)
	if !pythonInt.MatchString(s) {
		return 0, strconv.ErrSyntax
	}
	v, _ := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 32)
	return int(v), nil
}

// option is one of the command line's options: how it is given, and what it does with its value.
type option struct {
	names []string
	set   func(q *Query, value string) error
	// late options are read when the line is, so that only the last of several values needs to make sense.
	late bool
}

func criteriaOption(t Tier, short string) option {
	return option{[]string{short, "--" + t.String()}, func(q *Query, value string) (err error) {
		q.Tiers[t].Criteria, err = parseCriteria(value)
		return err
	}, true}
}

func uploadOption(t Tier) option {
	return option{[]string{"--" + t.String() + "-upload"}, func(q *Query, value string) error {
		v, err := parseFloat(value)
		q.Tiers[t].Upload = &v
		return wantNumber(value, err)
	}, false}
}

func timeOption(t Tier) option {
	return option{[]string{"--" + t.String() + "-time"}, func(q *Query, value string) (err error) {
		q.Tiers[t].Time, err = parseTime(value)
		return err
	}, true}
}

func wantNumber(value string, err error) error {
	if err != nil {
		return fmt.Errorf("%w: got %.40q, want a number", ErrUsage, value)
	}
	return nil
}

var options = []option{
	criteriaOption(Device, "-d"), criteriaOption(Edge, "-e"), criteriaOption(Cloud, "-c"),
	uploadOption(Device), uploadOption(Edge),
	timeOption(Device), timeOption(Edge), timeOption(Cloud),
	{[]string{"-i", "--input"}, func(q *Query, value string) (err error) {
		q.Input, err = parseFloat(value)
		if bytes := q.Input * thousand * thousand; math.IsNaN(bytes) || math.IsInf(bytes, 0) {
			err = strconv.ErrRange
		}
		return wantNumber(value, err)
	}, false},
	{[]string{"--result-count"}, func(q *Query, value string) (err error) {
		q.Count, err = parseInt(value)
		return wantNumber(value, err)
	}, false},
	{[]string{"-h", "--help"}, nil, false},
}

// positionals are the arguments without a name.
var positionals = []struct {
	name string
	set  func(q *Query, value string)
}{
	{"benchmark_folder", func(q *Query, v string) { q.Folder = v }},
	{"statistics_file", func(q *Query, v string) { q.Statistics = v }},
	{"model", func(q *Query, v string) { q.Model = strings.ToLower(v) }},
}

// negative matches what may be an option's value though it begins with a hyphen.
var negative = regexp.MustCompile(`^-\d+$|^-\d*\.\d+$`)

// word is an argument: an option, with or without a value of its own, or a plain one.
type word struct {
	text   string
	option *option // nil where plain is set, or where no such option exists
	plain  bool
	value  *string
}

// classify reads an argument that comes before any "--", by the rules of Python's argparse: long options may
// be shortened, a value may follow "=" or a short option directly, and a negative number is plain.
func classify(arg string) (word, error) {
	w := word{text: arg}
	if !strings.HasPrefix(arg, "-") || arg == "-" {
		w.plain = true
		return w, nil
	}
	name, value, valued := strings.Cut(arg, "=")
	type match struct {
		name   string
		option *option
		value  *string
	}
	var exact, longer []match
	for i := range options {
		o := &options[i]
		for _, n := range o.names {
			switch {
			case n == arg:
				exact = append(exact, match{n, o, nil})
			case valued && n == name:
				exact = append(exact, match{n, o, &value})
			case strings.HasPrefix(arg, "--") && strings.HasPrefix(n, name):
				m := match{n, o, nil}
				if valued {
					m.value = &value
				}
				longer = append(longer, m)
			case !strings.HasPrefix(arg, "--") && n == arg[:2]:
				rest := arg[2:]
				longer = append(longer, match{n, o, &rest})
			}
		}
	}
	if len(exact) == 0 {
		exact = longer
	}
	switch {
	case len(exact) > 1:
		return w, fmt.Errorf("%w: ambiguous option %.40q: could be %s or %s", ErrUsage, arg, exact[0].name, exact[1].name)
	case len(exact) == 1:
		w.option, w.value = exact[0].option, exact[0].value
	default:
		w.plain = negative.MatchString(arg) || strings.Contains(arg, " ")
	}
	return w, nil
}

// ParseArgs reads a command line of the original, without the name of the program: a folder of benchmarks, a
// network file and a model, in this order, with options before, between or behind them. Errors wrap
// [ErrUsage] where the original refuses the line or dies while reading it; [ErrHelp] is returned for -h.
//
// A Count below 1, of which the original dies later, is left to [Systems.Answer].
func ParseArgs(args []string) (*Query, error) {
	q, err := parseArgs(args)
	if err != nil {
		return nil, fmt.Errorf("compat: %w", err)
	}
	return q, nil
}

func parseArgs(args []string) (*Query, error) {
	q := &Query{Count: defaultCount, Input: defaultInput}
	var words []word
	literal := false
	for _, arg := range args {
		if arg == "--" && !literal {
			literal = true
			words = append(words, word{text: arg})
			continue
		}
		w := word{text: arg, plain: true}
		if !literal {
			var err error
			if w, err = classify(arg); err != nil {
				return nil, err
			}
		}
		words = append(words, w)
	}
	given := 0
	var extra []string
	late := map[*option]string{}
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w.text == "--" && !w.plain:
		case w.plain && given < len(positionals):
			positionals[given].set(q, w.text)
			given++
		case w.option == nil:
			extra = append(extra, w.text)
		case w.option.set == nil:
			return nil, ErrHelp
		default:
			value := w.value
			if value == nil {
				if i++; i == len(words) || !words[i].plain {
					return nil, fmt.Errorf("%w: option %s needs a value (one that begins with a hyphen is given as %s=VALUE)",
						ErrUsage, w.text, w.option.names[len(w.option.names)-1])
				}
				value = &words[i].text
			}
			if w.option.late {
				late[w.option] = *value
			} else if err := w.option.set(q, *value); err != nil {
				return nil, fmt.Errorf("option %s: %w", w.text, err)
			}
		}
	}
	if given < len(positionals) {
		return nil, fmt.Errorf("%w: argument %s is missing", ErrUsage, positionals[given].name)
	}
	if len(extra) > 0 {
		return nil, fmt.Errorf("%w: unknown arguments: %.200s", ErrUsage, strings.Join(extra, " "))
	}
	for i := range options {
		o := &options[i]
		if value, ok := late[o]; ok {
			if err := o.set(q, value); err != nil {
				return nil, fmt.Errorf("option %s: %w", o.names[len(o.names)-1], err)
			}
		}
	}
	return q, nil
}
