package plugin

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

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
)

const (
	receiverSelector = "app=knative-lambda-receiver"
	receiverPort     = 8443
)

// receiver is the API for dead letters and approvals, as the user of the kubeconfig.
type receiver struct {
	client *http.Client
	base   string
	stop   func()
}

// receiver reaches the API through the API server, to a pod of the receiver.
func (o *options) receiver(ctx context.Context) (*receiver, error) {
	pod, err := o.readyPod(ctx, o.operator, receiverSelector)
	if err != nil {
		return nil, o.unreachable(err)
	}
	address, stop, err := o.forward(ctx, o.operator, pod, receiverPort)
	if err != nil {
		return nil, o.unreachable(err)
	}
	client, err := receiverClient(o.config, "https://"+address)
	if err != nil {
		stop()
		return nil, err
	}
	return &receiver{client, "https://" + address, stop}, nil
}

// unreachable names the rights that the way to the receiver needs.
func (o *options) unreachable(err error) error {
	if apierrs.IsForbidden(err) || strings.Contains(err.Error(), "pods/portforward") || strings.Contains(strings.ToLower(err.Error()), "forbidden") {
		return fmt.Errorf("the operator's receiver cannot be reached: it needs get and list of pods and create of pods/portforward in namespace %s "+
			"(docs/dead-letters.md, Who may); without these rights use commands (docs/commands.md): %w", o.operator, err)
	}
	return fmt.Errorf("the operator's receiver cannot be reached: %w", err)
}

// receiverClient shows the receiver who the user is, by the certificate or token
// that the kubeconfig has for the API server. The receiver's own certificate is not
// checked: the way to it leads through the API server, which was.
func receiverClient(cfg *rest.Config, host string) (*http.Client, error) {
	if cfg.Impersonate.UserName != "" || cfg.Impersonate.UID != "" || len(cfg.Impersonate.Groups) > 0 {
		return nil, errors.New("--as: not supported here: the receiver has to know who calls by a token or a client certificate")
	}
	to := rest.CopyConfig(cfg)
	to.Host, to.APIPath = host, ""
	to.Insecure = true
	to.CAFile, to.CAData, to.ServerName = "", nil, ""
	to.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	return rest.HTTPClientFor(to)
}

// do asks the API. The answer's body is the caller's to close.
func (r *receiver) do(ctx context.Context, method, path string, query url.Values) (*http.Response, error) {
	return r.send(ctx, method, path, query, http.NoBody)
}

func (r *receiver) send(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, r.base+path+"?"+query.Encode(), body)
	if err != nil {
		return nil, err
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		return nil, problemOf(response)
	}
	return response, nil
}

// statusError is what the receiver answered.
type statusError struct {
	status  int
	message string
}

func (e *statusError) Error() string { return e.message }

func problemOf(response *http.Response) error {
	const most = 64 << 10
	text, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return err
	}
	var p receiverv1.Problem
	if json.Unmarshal(text, &p) == nil && p.Error != "" {
		return &statusError{response.StatusCode, p.Error}
	}
	return fmt.Errorf("the receiver answered %s: %s", response.Status, text)
}

// get decodes an answer.
func (r *receiver) get(ctx context.Context, method, path string, query url.Values, to any) error {
	response, err := r.do(ctx, method, path, query)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(to)
}

// post sends what as JSON and decodes the answer.
func (r *receiver) post(ctx context.Context, path string, query url.Values, what, to any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	response, err := r.send(ctx, http.MethodPost, path, query, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(to)
}
