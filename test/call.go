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
// (Traefik) may route to what is new, on a machine that is busy.
const Takeover = 15 * time.Second

// Settle calls until as many answers in a row are right. It gives up at
// a wrong one that comes later than Takeover: a call that starts a replica may last longer.
func (c *Clients) Settle(ctx context.Context, url *apis.URL, row int, right func(Answer) bool) error {
	began := time.Now()
	for in := 0; ; {
		answer, err := c.Call(ctx, url, "{}")
		if err == nil && !right(answer) {
			err = fmt.Errorf("it answers %s", answer)
		}
		switch {
		case err == nil && in+1 == row:
			return nil
		case err == nil:
			in++
		case ctx.Err() != nil || time.Since(began) > Takeover:
			return fmt.Errorf("%s has not settled: %w", url, err)
		default:
			in = 0
		}
		time.Sleep(100 * time.Millisecond)
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
