package setup

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	requestTimeout = 30 * time.Second
	// maxAnswer of the management API; the longest is the list of users.
	maxAnswer = 16 << 20
)

// Management is the management API of RabbitMQ, as an administrator.
type Management struct {
	// URL without a path.
	URL string
	// Username and Password of a user with the tag administrator.
	Username, Password string
	// Client has the CA of RabbitMQ where that is not a public one.
	Client *http.Client
}

// statusError is an answer other than 2xx.
type statusError struct {
	code    int
	message string
}

// Error implements error.
func (e *statusError) Error() string { return e.message }

// put a resource. The path's segments are escaped.
func (m *Management) put(ctx context.Context, body any, path ...string) error {
	return m.do(ctx, http.MethodPut, body, nil, path...)
}

func (m *Management) delete(ctx context.Context, path ...string) error {
	return m.do(ctx, http.MethodDelete, nil, nil, path...)
}

func (m *Management) get(ctx context.Context, into any, path ...string) error {
	return m.do(ctx, http.MethodGet, nil, into, path...)
}

func (m *Management) do(ctx context.Context, method string, body, into any, path ...string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for i := range path {
		path[i] = url.PathEscape(path[i])
	}
	address := strings.TrimSuffix(m.URL, "/") + "/api/" + strings.Join(path, "/")
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
	response, err := m.Client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: %w", method, address, err)
	case response.StatusCode >= http.StatusMultipleChoices:
		return &statusError{response.StatusCode, fmt.Sprintf("%s %s: %s: %s", method, address, response.Status, bytes.TrimSpace(answer))}
	case into != nil:
		return json.Unmarshal(answer, into)
	}
	return nil
}
