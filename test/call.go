package test

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
	"knative.dev/pkg/apis"
)

// Answer of a function to a plain request.
type Answer struct {
	Status            int
	ContentType, Body string
}

func (a Answer) String() string {
	return fmt.Sprintf("%d %s %s", a.Status, a.ContentType, a.Body)
}

// Call posts a JSON body. POST, as Go's client repeats a GET by itself when a
// connection breaks, and a test would not see it.
func (c *Clients) Call(ctx context.Context, url *apis.URL, body string) (Answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url.String(), strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := c.HTTP.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return Answer{Status: response.StatusCode, ContentType: response.Header.Get("Content-Type"), Body: strings.TrimSpace(string(text))}, err
}

// Takeover is how much later than Ready an ingress without a prober of its own
// (Traefik) may route to what is new.
const Takeover = 5 * time.Second

const retryInterval = 100 * time.Millisecond

// Retry tries until it succeeds, and gives up at a failure that comes later than the
// limit. That bounds no attempt: one that starts a replica may last longer.
func Retry(limit time.Duration, try func() error) error {
	for began := time.Now(); ; time.Sleep(retryInterval) {
		if err := try(); err == nil || time.Since(began) > limit {
			return err
		}
	}
}

// Settle calls until as many answers in a row are right, and gives up at a wrong one
// that comes later than the limit, as Retry does, or when a call breaks.
func (c *Clients) Settle(ctx context.Context, url *apis.URL, row int, limit time.Duration, right func(Answer) bool) error {
	in := 0
	for began := time.Now(); ; time.Sleep(retryInterval) {
		answer, err := c.Call(ctx, url, "{}")
		switch {
		case err != nil:
			return err
		case right(answer):
			if in++; in == row {
				return nil
			}
		case time.Since(began) > limit:
			return fmt.Errorf("%s answers %s after %v", url, answer, limit)
		default:
			in = 0
		}
	}
}

// Send posts a CloudEvent, in the structured or the binary mode, and returns the
// status and the event that answers it; nil where the answer is none.
func (c *Clients) Send(ctx context.Context, url *apis.URL, e event.Event, structured bool) (int, *event.Event, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url.String(), http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	mode := binding.WithForceBinary(ctx)
	if structured {
		mode = binding.WithForceStructured(ctx)
	}
	if err := cehttp.WriteRequest(mode, binding.ToMessage(&e), r); err != nil {
		return 0, nil, err
	}
	response, err := c.HTTP.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	message := cehttp.NewMessageFromHttpResponse(response)
	if message.ReadEncoding() == binding.EncodingUnknown {
		return response.StatusCode, nil, nil
	}
	answer, err := binding.ToEvent(ctx, message)
	return response.StatusCode, answer, err
}
