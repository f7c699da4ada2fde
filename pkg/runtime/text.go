package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// DecodeText decodes text of the character sets that come without tables; none is
// UTF-8.
func DecodeText(body []byte, charset string) (string, error) {
	switch strings.ToLower(charset) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		if !utf8.Valid(body) {
			return "", errors.New("it is not valid UTF-8")
		}
		return string(body), nil
	case "iso-8859-1", "latin1", "latin-1":
		text := make([]rune, len(body))
		for i, b := range body {
			text[i] = rune(b)
		}
		return string(text), nil
	}
	return "", fmt.Errorf("the charset %s is unknown: expected utf-8 or iso-8859-1", charset)
}

// TypeForm is the content type of forms, and curl's for everything.
const TypeForm = "application/x-www-form-urlencoded"

// HoldsJSON reports whether the body of a form is a JSON object or array, which curl
// sends as a form by default.
func HoldsJSON(body []byte) bool {
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	return len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') && json.Valid(trimmed)
}
