// Package sink sends events to a URL.
package sink

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
)

const (
	// timeout of one attempt.
	timeout = 5 * time.Second
	// attempts of Deliver, and the delay before the second, which doubles.
	attempts = 3
	delay    = 250 * time.Millisecond
	// maxAnswer is read of an answer, so that the connection can be used again.
	maxAnswer = 64 << 10
)

// Post sends an event once. Anything but 2xx is an error.
func Post(ctx context.Context, client *http.Client, url string, e *event.Event) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
	if err != nil {
		return err
	}
	if err := ceio.WriteRequest(binding.WithForceBinary(ctx), binding.ToMessage(e), r); err != nil {
		return err
	}
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer)) // the status says it all
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	return nil
}

// Deliver sends an event, and again a few times until it is taken.
func Deliver(ctx context.Context, client *http.Client, url string, e *event.Event) (err error) {
	for i := range attempts {
		if i > 0 {
			select {
			case <-ctx.Done():
				return err
			case <-time.After(delay << (i - 1)):
			}
		}
		if err = Post(ctx, client, url, e); err == nil {
			return nil
		}
	}
	return err
}
