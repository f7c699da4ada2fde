package cesql

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// What parsing one expression of any kind may take. They are far above what it takes
// (7 ms, 900 KB) and far below what the parser takes without the bounds.
const (
	maxTime  = 2 * time.Second
	maxBytes = 16 << 20
)

// fill repeats the unit between the ends, up to MaxLength.
func fill(start, unit, end string) string {
	return start + strings.Repeat(unit, (MaxLength-len(start)-len(end))/len(unit)) + end
}

func nest(open string, depth int, inner, end string) string {
	return strings.Repeat(open, depth) + inner + strings.Repeat(end, depth)
}

// largest are the expressions of each kind that are as long and as deep as they may be.
var largest = map[string]string{
	"parentheses":      fill("", nest("(", MaxNesting, "a", ")")+"+", "a"),
	"NOT":              fill("", strings.Repeat("NOT ", MaxNesting)+"a AND ", "a"),
	"minus":            fill("", strings.Repeat("-", MaxNesting)+"a+", "a"),
	"minus, nested":    fill("", nest("-(", MaxNesting/2, "a", ")")+"+", "a"),
	"NOT, nested":      fill("", nest("NOT(", MaxNesting/2, "a", ")")+" AND ", "a"),
	"AND":              fill("", "a AND ", "a"),
	"EXISTS":           fill("", "EXISTS a AND ", "a"),
	"sum":              fill("", "a+", "a"),
	"negative sum":     fill("", "-a+", "a"),
	"comparison":       fill("", "a=", "a"),
	"all operators":    fill("", "a<a*a+a OR ", "a"),
	"list":             fill("a IN (", "a,", "a)"),
	"lists":            fill("a", " IN (a)", ""),
	"lists, nested":    nest("a IN (", MaxNesting, "a", ")"),
	"LIKE":             fill("a", " NOT LIKE '%'", ""),
	"pattern %":        fill("a LIKE '", "%", "'"),
	"pattern _":        fill("a LIKE '", "_", "'"),
	"functions":        fill("", nest("F(", MaxNesting, "a", ")")+"+", "a"),
	"arguments":        fill("F(", "a,", "a)"),
	"string":           fill("'", "a", "'"),
	"escaped":          fill("'", `\'`, "'"),
	"doubled":          fill("'", "''", "'"),
	"parens in string": fill("'", "(", "'"),
}

// broken texts pass the scan, and the parser finds no expression in them.
var broken = map[string]string{
	"pairs":               fill("", "()", ""),
	"pairs in a row":      fill("", nest("(", MaxNesting, "", ")"), ""),
	"nested, then broken": fill("", nest("(", MaxNesting, "a a", ")"), ""),
	"functions, broken":   fill("", nest("F(", MaxNesting, ",", ")"), ""),
	"identifiers":         fill("", "a ", "a"),
	"signs":               fill("", strings.Repeat("-", MaxNesting)+" AND a", strings.Repeat("-", MaxNesting)),
	"NOT before nothing":  fill("", strings.Repeat("NOT ", MaxNesting)+"=a", "a"),
	"operators":           fill("", "=", ""),
	"commas":              fill("", ",", ""),
	"not equal":           fill("", "!", ""),
	"underscores":         fill("", "_", ""),
	"digits":              fill("", "9", ""),
	"ends in an operator": fill("", "a+", ""),
	"strings":             fill("", "'' ", ""),
	"empty":               "",
}

// TestParse_Bounded asserts what the largest expressions take, in time and memory.
func TestParse_Bounded(t *testing.T) {
	check := func(t *testing.T, text string, want bool) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err := Parse(text)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if (err == nil) != want {
			t.Errorf("error is %v, want an expression: %v", err, want)
		}
		if took > maxTime {
			t.Errorf("%d bytes take %s, want less than %s", len(text), took, maxTime)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > maxBytes {
			t.Errorf("%d bytes take %d bytes of memory, want less than %d", len(text), n, maxBytes)
		}
		if err != nil && len(err.Error()) > 2*maxProblem {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	}
	for name, text := range largest {
		t.Run(name, func(t *testing.T) { check(t, text, true) })
	}
	for name, text := range broken {
		t.Run(name, func(t *testing.T) { check(t, text, false) })
	}
}

const deepMessage = "expected parentheses, NOT and minus signs that are nested at most 32 deep"

// TestCheck refuses, in linear time, what the parser takes quadratic time for.
func TestCheck(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"one megabyte", strings.Repeat("(", 1<<20), "expected at most 1024 bytes, got 1048576"},
		{"too long", "'" + strings.Repeat("a", MaxLength) + "'", "expected at most 1024 bytes, got 1026"},
		{"open", strings.Repeat("(", 32), "a parenthesis is not closed"},
		{"open function", strings.Repeat("F(", 32), "a parenthesis is not closed"},
		{"open list", "a IN (a", "a parenthesis is not closed"},
		{"open after a string", "'))' = ((a)", "a parenthesis is not closed"},
		{"not opened", "a)(a", "the parenthesis at byte 1 is not opened"},
		{"too deep", nest("(", MaxNesting+1, "a", ")"), deepMessage},
		{"minus, too deep", strings.Repeat("-", MaxNesting+1) + "a", deepMessage},
		{"NOT, too deep", strings.Repeat("not ", MaxNesting+1) + "a", deepMessage},
		{"signs and functions, too deep", nest(strings.Repeat("-", 8)+"F (", 4, "a", ")"), deepMessage},
		{"signs side by side", strings.Repeat("-a - -a + NOT 'a' - NOT (-a) ", 32), ""},
		{"deep enough", nest("(", MaxNesting, "a", ")"), ""},
		{"open quote", `a = "b`, "the quote at byte 4 is not closed"},
		{"escaped quote", `a = 'b\'`, "the quote at byte 4 is not closed"},
		{"doubled quote", `a = 'b''`, "the quote at byte 4 is not closed"},
		{"other quote", `a = 'b"' AND (c = "'")`, ""},
		{"any text in quotes", `subject = '((é #;'`, ""},
		{"control character", "a = \x00", "byte 4 is no character of an expression: put text into quotes"},
		{"letter of another script", "é = 1", "byte 0 is no character of an expression: put text into quotes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := Check(tt.text); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("Check = %q, want %q", got, tt.want)
			}
		})
	}
}

// FuzzParse: no text panics, and none takes more than the largest ones above.
func FuzzParse(f *testing.F) {
	for _, texts := range []map[string]string{largest, broken} {
		for _, text := range texts {
			f.Add(text)
		}
	}
	f.Add(strings.Repeat("(", 4096))
	f.Add(`type LIKE 'io.example.%' AND EXISTS subject AND LENGTH(source) > 3`)
	f.Fuzz(func(t *testing.T, text string) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		expression, err := Parse(text)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if (expression == nil) == (err == nil) {
			t.Errorf("Parse = %v, %v", expression, err)
		}
		if took > maxTime {
			t.Errorf("takes %s", took)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > maxBytes {
			t.Errorf("takes %d bytes of memory", n)
		}
	})
}
