// Package management is a client of the HTTP API of RabbitMQ's management plugin.
package management

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	requestTimeout = 30 * time.Second
	// maxAnswer of the management API; the longest are lists of users and queues.
	maxAnswer = 16 << 20
)

// Client of the management API.
type Client struct {
	// URL without a path.
	URL string
	// Username and Password of a user whose tags permit what is asked for.
	Username, Password string
	// HTTP has the CA of RabbitMQ where that is not a public one.
	HTTP *http.Client
}

// Policy of queues. Of several that match a queue the one with the highest priority is in
// force.
type Policy struct {
	Pattern    string         `json:"pattern"`
	ApplyTo    string         `json:"apply-to"`
	Priority   int            `json:"priority"`
	Definition map[string]any `json:"definition"`
}

// StatusError is an answer other than 2xx.
type StatusError struct {
	Code    int
	message string
}

// Error implements error.
func (e *StatusError) Error() string { return e.message }

// IsNotFound says whether an error is that the resource does not exist.
func IsNotFound(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Code == http.StatusNotFound
}

// Put a resource. The path's segments are escaped.
func (m *Client) Put(ctx context.Context, body any, path ...string) error {
	return m.do(ctx, http.MethodPut, body, nil, path...)
}

// Delete a resource.
func (m *Client) Delete(ctx context.Context, path ...string) error {
	return m.do(ctx, http.MethodDelete, nil, nil, path...)
}

// Get a resource.
func (m *Client) Get(ctx context.Context, into any, path ...string) error {
	return m.do(ctx, http.MethodGet, nil, into, path...)
}

// Queues are the names of all queues of a virtual host.
func (m *Client) Queues(ctx context.Context, virtualHost string) (names []string, err error) {
	var all []struct {
		Name string `json:"name"`
	}
	if err := m.send(ctx, http.MethodGet, nil, &all, "queues/"+url.PathEscape(virtualHost)+"?disable_stats=true&columns=name"); err != nil {
		return nil, err
	}
	for _, q := range all {
		names = append(names, q.Name)
	}
	return names, nil
}

func (m *Client) do(ctx context.Context, method string, body, into any, path ...string) error {
	for i := range path {
		path[i] = url.PathEscape(path[i])
	}
	return m.send(ctx, method, body, into, strings.Join(path, "/"))
}

// send a request for a resource by its escaped path, which may have a query.
func (m *Client) send(ctx context.Context, method string, body, into any, resource string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	address := strings.TrimSuffix(m.URL, "/") + "/api/" + resource
	var content io.Reader = http.NoBody
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return err
	}
	request.SetBasicAuth(m.Username, m.Password)
	request.Header.Set("Content-Type", "application/json")
	response, err := m.HTTP.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: %w", method, address, err)
	case response.StatusCode >= http.StatusMultipleChoices:
		return &StatusError{response.StatusCode, fmt.Sprintf("%s %s: %s: %s", method, address, response.Status, bytes.TrimSpace(answer))}
	case into != nil:
		return json.Unmarshal(answer, into)
	}
	return nil
}
