// Package cesql parses CloudEvents SQL expressions that users have written. The parser
// of the CloudEvents SDK takes quadratic time for parentheses that are not closed, so
// that nothing else may call it: a scan that takes linear time comes first.
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
	// MaxNesting is how deep parentheses may be nested.
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
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\'', '"':
			end := closing(text, i)
			if end < 0 {
				return fmt.Errorf("the quote at byte %d is not closed", i)
			}
			i = end
		case '(':
			if depth++; depth > MaxNesting {
				return fmt.Errorf("expected parentheses that are nested at most %d deep", MaxNesting)
			}
		case ')':
			if depth--; depth < 0 {
				return fmt.Errorf("the parenthesis at byte %d is not opened", i)
			}
		default:
			if !alphanumeric(c) && strings.IndexByte(symbols, c) < 0 {
				return fmt.Errorf("byte %d is no character of an expression: put text into quotes", i)
			}
		}
	}
	if depth > 0 {
		return errors.New("a parenthesis is not closed")
	}
	return nil
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
