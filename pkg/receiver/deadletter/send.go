package deadletter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
	"github.com/brunovlucena/knative-lambda-operator/internal/failure"
	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
)

const (
	// defaultTimeout of a redelivery where the owner states none, and what a cold start
	// may add to any.
	defaultTimeout = 5 * time.Minute
	coldStart      = time.Minute
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 16 << 20
	// maxSaid bounds what people are told of an answer, in bytes.
	maxSaid = 512
)

// Sender sends events over HTTP. Client must not follow redirects: NewSender makes sure
// of that. Tokens are for Brokers that ask for one; nil sends none.
type Sender struct {
	Client *http.Client
	Tokens Tokens
}

// NewSender returns a Sender with a copy of the client that takes a redirect for the
// answer.
func NewSender(client *http.Client) Sender {
	c := *client
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return Sender{Client: &c}
}

// send sends an event and passes the reply on. It returns the status, and an error
// unless both were accepted.
func (s Sender) send(ctx context.Context, t target, e event.Event) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	response, err := s.submit(ctx, t.endpoint, t.gateway, &e)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		text := ""
		if t.tell {
			text = said(response.Body)
		}
		return response.StatusCode, fmt.Errorf("the answer was %s%s", status(response), text)
	}
	response.Body = http.MaxBytesReader(nil, response.Body, maxAnswer)
	message := cehttp.NewMessageFromHttpResponse(response)
	if t.replies.url == "" || message.ReadEncoding() == binding.EncodingUnknown {
		return response.StatusCode, nil
	}
	reply, err := ceio.Read(ctx, message)
	if err != nil {
		return response.StatusCode, fmt.Errorf("the reply is not a valid CloudEvent: %w", err)
	}
	passed, err := s.submit(ctx, t.replies, "", reply)
	if err != nil {
		return response.StatusCode, fmt.Errorf("the reply could not be sent to the broker: %w", err)
	}
	defer passed.Body.Close()
	if passed.StatusCode/100 != 2 {
		return response.StatusCode, fmt.Errorf("the broker at %s did not accept the reply: %s", t.replies.url, status(passed))
	}
	return response.StatusCode, nil
}

// status is the code of an answer with its standard text: what the peer wrote there is
// not repeated.
func status(r *http.Response) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", r.StatusCode, http.StatusText(r.StatusCode)))
}

// submit an event to an endpoint, with a token if it asks for one.
func (s Sender) submit(ctx context.Context, to endpoint, gateway string, e *event.Event) (*http.Response, error) {
	response, err := s.post(ctx, to.url, gateway, "", e)
	if err != nil || response.StatusCode != http.StatusUnauthorized || to.audience == "" || s.Tokens == nil {
		return response, err
	}
	_ = response.Body.Close()
	token, err := s.token(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("%s requires a token: %w", receiverpath.Redact(to.url), err)
	}
	return s.post(ctx, to.url, gateway, token, e)
}

// post an event to a URL, over a gateway and with a token if they are given.
func (s Sender) post(ctx context.Context, to, gateway, token string, e *event.Event) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, http.NoBody)
	if err != nil {
		return nil, err
	}
	if err := ceio.WriteRequest(binding.WithForceBinary(ctx), binding.ToMessage(e), r); err != nil {
		return nil, err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if gateway != "" {
		r.Host, r.URL.Host = r.URL.Host, gateway
	}
	response, err := s.Client.Do(r)
	var failed *url.Error
	if errors.As(err, &failed) { // its text has the URL as it is, with a code that it may have
		return nil, fmt.Errorf("sending to %s: %w", receiverpath.Redact(to), failed.Err)
	}
	return response, err
}

// said is the beginning of an answer, for people.
func said(body io.Reader) string {
	text, _ := io.ReadAll(io.LimitReader(body, maxSaid)) // what has arrived is told
	if t := strings.TrimSpace(failure.Printable(string(text))); t != "" {
		return ": " + t
	}
	return ""
}
