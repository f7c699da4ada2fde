package events

import (
	"net/http"
	"strings"
)

// RespondAsync is the preference of RFC 7240 for an answer before the work is done.
const RespondAsync = "respond-async"

// PrefersAsync reports whether a request has the preference RespondAsync.
func PrefersAsync(header http.Header) bool {
	for _, line := range header["Prefer"] {
		for preference := range strings.SplitSeq(line, ",") {
			token, _, _ := strings.Cut(preference, ";")
			if strings.EqualFold(strings.TrimSpace(token), RespondAsync) {
				return true
			}
		}
	}
	return false
}
