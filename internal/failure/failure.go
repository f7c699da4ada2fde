// Package failure reads why a delivery failed, from the status and the start of the body
// that a subscriber answered with.
package failure

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// NoAnswer stands for the status of a subscriber that did not answer.
const NoAnswer = -1

// maxReason bounds a reason, in characters.
const maxReason = 1024

// Reason of a failure: what the function answered, if it is known, or else its status in
// words.
func Reason(code int, data string) string {
	if e, ok := Answered(data); ok {
		data = strings.TrimPrefix(e.Type+": "+e.Message, ": ")
	}
	data = strings.TrimSpace(Printable(data))
	if runes := []rune(data); len(runes) > maxReason {
		data = string(runes[:maxReason-1]) + "…"
	}
	switch {
	case data != "":
		return data
	case code == NoAnswer:
		return "there was no answer"
	case http.StatusText(code) != "":
		return fmt.Sprintf("the answer was %d %s", code, http.StatusText(code))
	}
	return fmt.Sprintf("the answer was %d", code)
}

// maxEscape is the length in bytes of the longest escape sequence in JSON, a pair of
// surrogates.
const maxEscape = len(`\ud83d\ude00`)

// Answered returns the error that a function of this project answers with. The data may
// end within one of its strings: brokers cut it.
func Answered(data string) (e events.Error, ok bool) {
	if json.Unmarshal([]byte(data), &e) == nil {
		return e, e.Message != ""
	}
	for cut := range min(maxEscape, len(data)) {
		e = events.Error{}
		if json.Unmarshal([]byte(data[:len(data)-cut]+`"}`), &e) == nil {
			return e, e.Message != ""
		}
	}
	return e, false
}

// Printable is text that an attribute may hold.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
}
