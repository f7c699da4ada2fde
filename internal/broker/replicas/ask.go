package replicas

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
)

const (
	// Port of each replica that Path is on.
	Port = 8083
	// Path takes a JSON list of the UIDs of Triggers by POST, and answers with a JSON
	// object that has the generation which the replica serves for each that it knows.
	Path = "/generations"

	askTimeout = 2 * time.Second
	// maxAnswer is enough for 100,000 Triggers.
	maxAnswer = 8 << 20
)

// Client asks replicas over HTTP.
type Client struct{ http *http.Client }

// NewClient returns a Client that connects where permit allows, and keeps connections to
// the replicas.
func NewClient(permit egress.Permit) *Client { return &Client{http: egress.Client(permit, askTimeout)} }

// Ask a replica, host:port.
func (c *Client) Ask(ctx context.Context, address string, triggers []types.UID) (Generations, error) {
	body, err := json.Marshal(triggers)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+Path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("POST http://%s%s: %s", address, Path, response.Status)
	}
	var answer Generations
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("POST http://%s%s: %w", address, Path, err)
	}
	return answer, nil
}
