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

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

const (
	// defaultTimeout of a replay to a function that says none, and what a cold
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

// target of a replay.
type target struct {
	url     string
	replies string // where the function's replies go; empty is nowhere
	timeout time.Duration
}

// targetOf is where a function's letters are sent, and its replies: to its broker,
// as if that had sent the letter. A function with a sink sends them there itself and
// answers with none.
func targetOf(f *v1alpha1.LambdaFunction) (target, error) {
	t := target{timeout: defaultTimeout}
	if f.Status.Address == nil || f.Status.Address.URL == nil {
		return t, &NotReadyError{f.Name, "has no address yet: its letters stay until it is Ready"}
	}
	t.url = f.Status.Address.URL.String()
	if f.Spec.Runtime.Timeout != nil {
		t.timeout = f.Spec.Runtime.Timeout.Value()
	}
	t.timeout += coldStart
	if len(f.Status.Brokers) > 0 && f.Status.Brokers[0].URL != nil {
		t.replies = f.Status.Brokers[0].URL.String()
	}
	return t, nil
}

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
		return response.StatusCode, fmt.Errorf("the function answered %s%s", response.Status, said(response.Body))
	}
	response.Body = http.MaxBytesReader(nil, response.Body, maxAnswer)
	message := cehttp.NewMessageFromHttpResponse(response)
	if t.replies == "" || message.ReadEncoding() == binding.EncodingUnknown {
		return response.StatusCode, nil
	}
	reply, err := binding.ToEvent(ctx, message)
	if err != nil {
		return response.StatusCode, fmt.Errorf("the function's reply is not a valid CloudEvent: %w", err)
	}
	passed, err := s.post(ctx, t.replies, reply)
	if err != nil {
		return response.StatusCode, fmt.Errorf("the function's reply could not be passed on: %w", err)
	}
	defer passed.Body.Close()
	if passed.StatusCode/100 != 2 {
		return response.StatusCode, fmt.Errorf("the function's reply was not taken by %s: %s%s", t.replies, passed.Status, said(passed.Body))
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
