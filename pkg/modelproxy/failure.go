package modelproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// failure of a model to answer.
type failure struct {
	status  int    // for the agent
	kind    string // error.type of telemetry: a status or one of the words below
	message string
	body    json.RawMessage // the provider's own, where it is for the agent
	again   bool            // whether the same model may answer when it is asked again
	final   bool            // whether no other model would answer either: it is the request's fault
	after   time.Duration   // when the provider wants to be asked again
	cause   error           // for the log, where there is more to say than the agent may know
}

func (f *failure) Error() string { return f.message }

// Kinds of failures beside the provider's statuses. With those they are all that
// error.type ever is.
const (
	kindTimeout    = "timeout"
	kindConnection = "connection"
	kindGarbage    = "invalid_response"
	kindCut        = "stream_cut"
	kindCancelled  = "cancelled"
	kindBudget     = "budget_exhausted"
)

var (
	errTimeout = errors.New("the model did not answer in time")
	errGarbage = errors.New("the provider's answer is not what its API promises")
)

// refused makes a failure of an answer that is none.
func refused(u *upstream, response *http.Response) *failure {
	code := response.StatusCode
	f := &failure{status: http.StatusBadGateway, kind: kindOf(code), message: fmt.Sprintf("%s answered %d %s", u.Provider, code, http.StatusText(code))}
	switch {
	case code == http.StatusTooManyRequests:
		f.status, f.again, f.after = code, true, retryAfter(response.Header.Get("Retry-After"))
	case code == http.StatusRequestTimeout, code >= 500:
		f.again, f.after = true, retryAfter(response.Header.Get("Retry-After"))
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		f.message = fmt.Sprintf("%s refuses the key (%d)", u.Provider, code)
	case code == http.StatusNotFound:
		f.message = fmt.Sprintf("%s has no model %s at this endpoint (404)", u.Provider, u.Name)
	case code >= 400:
		f.status, f.final = code, true
		f.body = ownWords(u, response.Body)
	default: // a redirect is not followed: the key is for this host
		f.message = fmt.Sprintf("%s answered %d, expected 200", u.Provider, code)
	}
	return f
}

// ownWords of the provider about a bad request, if they are JSON; without the key.
func ownWords(u *upstream, from io.Reader) json.RawMessage {
	text, err := io.ReadAll(io.LimitReader(from, 64<<10))
	if err != nil {
		return nil
	}
	text = u.withoutKeyJSON(text)
	var object map[string]json.RawMessage
	if json.Unmarshal(text, &object) != nil || object["error"] == nil {
		return nil
	}
	if u.Provider == providerAnthropic {
		object = map[string]json.RawMessage{"error": object["error"]}
		text, _ = json.Marshal(object)
	}
	return text
}

// withoutKey is what a provider says, safe to hand on.
func (u *upstream) withoutKey(text string) string {
	if u.key == "" {
		return text
	}
	quoted := strconv.Quote(u.key) // as errors of net/http tell what is no answer
	return strings.NewReplacer(u.key, "[key]", quoted[1:len(quoted)-1], "[key]").Replace(text)
}

// withoutKeyJSON looks into the strings, as JSON has many ways to write the same one.
// What is no JSON becomes nil.
func (u *upstream) withoutKeyJSON(text []byte) []byte {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return nil
	}
	text, err := json.Marshal(u.withoutKeyIn(value))
	if err != nil {
		return nil
	}
	return text
}

func (u *upstream) withoutKeyIn(value any) any {
	switch v := value.(type) {
	case string:
		return u.withoutKey(v)
	case []any:
		for i := range v {
			v[i] = u.withoutKeyIn(v[i])
		}
	case map[string]any:
		clean := make(map[string]any, len(v))
		for name, member := range v {
			clean[u.withoutKey(name)] = u.withoutKeyIn(member)
		}
		return clean
	}
	return value
}

// why the failure was, for the log. The address is not repeated, and no key is told.
func (f *failure) why(u *upstream) string {
	if f.cause == nil {
		return f.message
	}
	cause := f.cause
	if wrapped := (*url.Error)(nil); errors.As(cause, &wrapped) {
		cause = wrapped.Err
	}
	return f.message + ": " + u.withoutKey(cause.Error())
}

// broken makes a failure of an error on the way.
func broken(ctx context.Context, u *upstream, err error) *failure {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(context.Cause(ctx), errTimeout):
		return &failure{status: http.StatusGatewayTimeout, kind: kindTimeout, message: fmt.Sprintf("%s did not answer in time", u.Provider)}
	case ctx.Err() != nil:
		return &failure{status: 499, kind: kindCancelled, message: "the agent went away", final: true}
	case errors.Is(err, errGarbage):
		return &failure{status: http.StatusBadGateway, kind: kindGarbage, message: fmt.Sprintf("the answer of %s is not what its API promises", u.Provider)}
	default: // the error itself may hold addresses and more: it is for the log
		return &failure{status: http.StatusBadGateway, kind: kindConnection, message: fmt.Sprintf("%s cannot be reached", u.Provider), again: true, cause: err}
	}
}

// kindOf a status: those that providers use, so that no provider makes up others.
func kindOf(code int) string {
	switch code {
	case 400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529:
		return strconv.Itoa(code)
	default:
		return strconv.Itoa(code/100) + "xx"
	}
}

// retryAfter reads the header: seconds, or a date.
func retryAfter(text string) time.Duration {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 && seconds < 1e6 {
		return time.Duration(seconds * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// writeError in OpenAI's format, or in Ollama's.
func writeError(w http.ResponseWriter, ollama bool, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(errorBody(ollama, kind, message)) // the agent may be gone
}

func errorBody(ollama bool, kind, message string) []byte {
	var body any = map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": kind}}
	if ollama {
		body = map[string]any{"error": message}
	}
	text, _ := json.Marshal(body)
	return text
}
