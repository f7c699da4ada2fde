package deadletter

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

const (
	// defaultTimeout of a replay to whoever says none, and what a cold
	// start may add to any.
	defaultTimeout = 5 * time.Minute
	coldStart      = time.Minute
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 16 << 20
	// maxSaid bounds what is told of an answer.
	maxSaid = 512
)

// Sender sends events over HTTP.
type Sender struct{ Client *http.Client }

// send sends an event and passes the reply on. It returns the status, and an error
// unless all of it was taken.
func (s Sender) send(ctx context.Context, t target, e event.Event) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	response, err := s.post(ctx, t.url, &e)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return response.StatusCode, fmt.Errorf("the answer was %s%s", response.Status, said(response.Body))
	}
	response.Body = http.MaxBytesReader(nil, response.Body, maxAnswer)
	message := cehttp.NewMessageFromHttpResponse(response)
	if t.replies == "" || message.ReadEncoding() == binding.EncodingUnknown {
		return response.StatusCode, nil
	}
	reply, err := binding.ToEvent(ctx, message)
	if err != nil {
		return response.StatusCode, fmt.Errorf("the reply is not a valid CloudEvent: %w", err)
	}
	passed, err := s.post(ctx, t.replies, reply)
	if err != nil {
		return response.StatusCode, fmt.Errorf("the reply could not be passed on: %w", err)
	}
	defer passed.Body.Close()
	if passed.StatusCode/100 != 2 {
		return response.StatusCode, fmt.Errorf("the reply was not taken by %s: %s%s", t.replies, passed.Status, said(passed.Body))
	}
	return response.StatusCode, nil
}

func (s Sender) post(ctx context.Context, url string, e *event.Event) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	if err := cehttp.WriteRequest(binding.WithForceBinary(ctx), binding.ToMessage(e), r); err != nil {
		return nil, err
	}
	return s.Client.Do(r)
}

// said is the beginning of an answer, for a person.
func said(body io.Reader) string {
	text, _ := io.ReadAll(io.LimitReader(body, maxSaid)) // whatever came of it
	if t := strings.TrimSpace(printable(string(text))); t != "" {
		return ": " + t
	}
	return ""
}
