//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// TestLogsFollow: kubectl lambda logs -f prints what is said from then on, each line
// with the id of its event, until it is interrupted.
func TestLogsFollow(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	f := python(namespace, "talker", "def handler(event, context):\n    print('saying', event['of'])\n")
	f.Spec.Scaling = v1alpha1.ScalingSpec{MinReplicas: ptr.Int32(1)}
	f = ready(ctx, t, create(ctx, t, f))

	following, interrupt := context.WithCancel(ctx)
	defer interrupt()
	out, lines := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := kubectlLambdaTo(following, lines, io.Discard, namespace, "logs", f.Name, "-f")
		lines.Close()
		ended <- err
	}()
	said := make(chan string)
	go func() {
		defer close(said)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			said <- scanner.Text()
		}
	}()

	for _, id := range []string{"one", "two"} {
		answersToEvent(ctx, t, f, id)
		awaitLine(t, said, "saying "+id, id)
	}
	interrupt()
	for deadline := time.After(10 * time.Second); ; {
		select {
		case <-said: // what is left
			continue
		case err := <-ended:
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("after the interrupt: %v", err)
			}
		case <-deadline:
			t.Error("it goes on after the interrupt")
		}
		return
	}
}

// answersToEvent sends an event until the function is routed to.
func answersToEvent(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, id string) {
	t.Helper()
	err := test.Retry(test.Takeover, func() error {
		status, _, err := clients.Send(ctx, f.Status.URL, newEvent(id, "io.example.test", "/e2e"), false)
		if err == nil && status != http.StatusNoContent {
			err = fmt.Errorf("answered with %d", status)
		}
		return err
	})
	if err != nil {
		t.Fatalf("event %s: %v", id, err)
	}
}

// awaitLine waits for the line with the message, and checks whose it is.
func awaitLine(t *testing.T, said <-chan string, message, id string) {
	t.Helper()
	deadline := time.After(test.Patience)
	for {
		select {
		case line, ok := <-said:
			if !ok {
				t.Fatalf("it ended before it printed %q", message)
			}
			_, text, _ := strings.Cut(line, "] ") // the pod's name comes first
			var entry struct {
				Message string
				EventID string `json:"event_id"`
			}
			if json.Unmarshal([]byte(text), &entry) != nil || entry.Message != message {
				continue
			}
			if entry.EventID != id {
				t.Errorf("line %q is of event %q, want %q", line, entry.EventID, id)
			}
			return
		case <-deadline:
			t.Fatalf("%q was not printed", message)
		}
	}
}
