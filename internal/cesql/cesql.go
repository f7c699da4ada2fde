// Package cesql parses CloudEvents SQL expressions that users have written. The parser
// of the CloudEvents SDK takes quadratic time for parentheses that are not closed and for
// rows of signs before what is no operand, so that nothing else may call it: a scan that takes linear time comes first.
package cesql

import (
	"errors"
	"fmt"
	"strings"

	cesql "github.com/cloudevents/sdk-go/sql/v2"
	"github.com/cloudevents/sdk-go/sql/v2/parser"
)

// Bounds of an expression.
const (
	// MaxLength is its length in bytes.
	MaxLength = 1024
	// MaxNesting is how deep parentheses, NOT and minus signs may be nested.
	MaxNesting = 32
)

// maxProblem bounds the parser's message in bytes: it names every token that it did not
// expect.
const maxProblem = 256

// outside of strings, these are the characters of an expression besides letters and
// digits.
const symbols = " \t\r\n_(),*/%+-=!<>"

// Parse returns the expression that the text is. The error says what the text exceeds
// or why it is no expression. Parsing the longest text takes a few milliseconds and a
// few hundred kilobytes.
func Parse(text string) (expression cesql.Expression, err error) {
	if err := Check(text); err != nil {
		return nil, err
	}
	defer func() { // the parser panics on some texts that are no expressions
		if recover() != nil {
			expression, err = nil, errIncomplete
		}
	}()
	if expression, err = parser.Parse(text); err != nil {
		return nil, problem(err)
	}
	if expression == nil {
		return nil, errIncomplete
	}
	return expression, nil
}

var errIncomplete = errors.New("expected a CloudEvents SQL expression: it is incomplete")

func problem(err error) error {
	text := err.Error()
	if len(text) > maxProblem {
		text = strings.ToValidUTF8(text[:maxProblem], "") + "…"
	}
	return fmt.Errorf("expected a CloudEvents SQL expression: %s", text)
}

// Check returns an error if the text exceeds a bound, has parentheses or quotes that
// are not closed, or has characters that no expression has. It does not parse the text.
func Check(text string) error {
	if len(text) > MaxLength {
		return fmt.Errorf("expected at most %d bytes, got %d", MaxLength, len(text))
	}
	var open nesting
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\'' || c == '"':
			end := closing(text, i)
			if end < 0 {
				return fmt.Errorf("the quote at byte %d is not closed", i)
			}
			i = end
			open.signs = 0
		case c == '(':
			open.enter()
		case c == ')':
			if !open.leave() {
				return fmt.Errorf("the parenthesis at byte %d is not opened", i)
			}
		case c == '-':
			open.signs++
		case alphanumeric(c) || c == '_':
			end := i + 1
			for end < len(text) && (alphanumeric(text[end]) || text[end] == '_') {
				end++
			}
			open.word(text[i:end], text[end:])
			i = end - 1
		case strings.IndexByte(symbols, c) < 0:
			return fmt.Errorf("byte %d is no character of an expression: put text into quotes", i)
		}
		if open.depth+open.signs > MaxNesting {
			return fmt.Errorf("expected parentheses, NOT and minus signs that are nested at most %d deep", MaxNesting)
		}
	}
	if len(open.entered) > 0 {
		return errors.New("a parenthesis is not closed")
	}
	return nil
}

// nesting is how deep the scan is.
type nesting struct {
	// entered has how deep each open parenthesis is below the one around it.
	entered []int
	depth   int // of all of them
	signs   int // NOT and minus signs that wait for their operand
}

func (n *nesting) enter() {
	n.entered = append(n.entered, n.signs+1)
	n.depth, n.signs = n.depth+n.signs+1, 0
}

func (n *nesting) leave() bool {
	last := len(n.entered) - 1
	if last < 0 {
		return false
	}
	n.depth, n.signs = n.depth-n.entered[last], 0
	n.entered = n.entered[:last]
	return true
}

// word counts NOT; an operand ends the signs before it, unless it is a function's name.
func (n *nesting) word(word, rest string) {
	switch strings.ToUpper(word) {
	case "NOT":
		n.signs++
		return
	case "AND", "OR", "XOR", "IN", "LIKE", "EXISTS":
		return
	}
	if !strings.HasPrefix(strings.TrimLeft(rest, " \t\r\n"), "(") {
		n.signs = 0
	}
}

// closing returns where the string that begins at i ends, or -1. In a string, a
// backslash escapes the next character, and a doubled quote is one quote.
func closing(text string, i int) int {
	quote := text[i]
	for i++; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] != quote:
		case i+1 < len(text) && text[i+1] == quote:
			i++
		default:
			return i
		}
	}
	return -1
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
