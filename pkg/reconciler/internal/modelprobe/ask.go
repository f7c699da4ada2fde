package modelprobe

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/brunovlucena/knative-lambda-operator/pkg/guard"
)

// The reasons of models that do not answer.
const (
	ReasonUnreachable   = "EndpointUnreachable"
	ReasonForbidden     = "EndpointForbidden"
	ReasonFailing       = "EndpointFailing"
	ReasonModelNotFound = "ModelNotFound"
)

// Verdict on a model.
type Verdict struct {
	// Reason why it does not answer, and Message for a person; empty where it does.
	Reason, Message string
	// Dead tells that the endpoint itself does not answer.
	Dead bool
}

// api of a provider: where its models are listed.
type api struct {
	// base is its well-known URL, where it has one.
	base string
	// list is the path of the list; query goes with it.
	list, query string
	// names of the models in the list.
	names func([]byte) map[string]bool
}

// apis of the providers. None is asked with a key: that of a hosted one answers 401
// or 403, which shows that it is there.
var apis = map[string]api{
	"ollama":            {list: "/api/tags", names: ollamaNames},
	"openai":            {base: "https://api.openai.com/v1", list: "/models", names: openAINames},
	"openai-compatible": {list: "/models", names: openAINames},
	"anthropic":         {base: "https://api.anthropic.com", list: "/v1/models"},
	"google":            {base: "https://generativelanguage.googleapis.com", list: "/v1beta/models"},
	"azure-openai":      {list: "/openai/models", query: "api-version=2024-10-21"},
	"bedrock":           {list: "/foundation-models"},
}

// Probeable tells whether there is an address to probe: Amazon Bedrock has one in
// each region, and none that stands for all.
func Probeable(e Endpoint) bool {
	a, ok := apis[e.Provider]
	return ok && (e.URL != "" || a.base != "")
}

// Completed is the endpoint as the model proxy completes it: what people may leave out
// of it, or put there, is not missing.
func (e Endpoint) Completed() Endpoint {
	u, err := url.Parse(e.URL)
	if err != nil || e.URL == "" {
		return e
	}
	u.Path = strings.TrimRight(u.Path, "/")
	switch e.Provider {
	case "ollama":
		u.Path = strings.TrimSuffix(u.Path, "/v1")
	case "google":
		u.Path = strings.TrimSuffix(u.Path, "/v1beta/openai")
	case "openai", "openai-compatible", "anthropic":
		if e.Provider == "anthropic" { // its list is at the same place, and has the same form
			e.Provider = "openai-compatible"
		}
		if u.Path == "" {
			u.Path = "/v1"
		}
	}
	e.URL = u.String()
	return e
}

// maxList is how much of a list is read: what is longer is not searched.
const maxList = 2 << 20

// errForbidden is of an address that is nobody's endpoint.
var errForbidden = errors.New("forbidden address")

// Client probes endpoints.
type Client struct {
	http *http.Client
}

// NewClient returns a Client that does not dial what own says.
func NewClient() *Client { return newClient(refuseOwn) }

// refuseOwn keeps users from making the controller talk to its own machine and to
// the metadata service of a cloud. Pods and Services are where models are.
func refuseOwn(_ context.Context, _, address string, _ syscall.RawConn) error {
	ip, err := guard.Address(address)
	if err != nil || guard.Within(guard.Own, ip) {
		return errForbidden
	}
	return nil
}

func newClient(control func(context.Context, string, string, syscall.RawConn) error) *Client {
	dialer := net.Dialer{ControlContext: control}
	return &Client{http: &http.Client{
		// No proxy: the address that is checked would be the proxy's. No connection is
		// kept: there is one request a minute.
		Transport:     &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Ask an endpoint which of the models it has. Nothing of what it answers but its
// status is in the verdicts.
func (c *Client) Ask(ctx context.Context, e Endpoint, models []string) map[string]Verdict {
	all, names := c.look(ctx, e)
	verdicts := make(map[string]Verdict, len(models))
	for _, m := range models {
		verdicts[m] = all
		if all.Reason == "" && names != nil && !has(e.Provider, names, m) {
			verdicts[m] = Verdict{Reason: ReasonModelNotFound, Message: fmt.Sprintf("%s answers and has no model %q.", e.address(), m)}
		}
	}
	return verdicts
}

// look at an endpoint: a verdict on all of its models, and their names where it
// tells.
func (c *Client) look(ctx context.Context, e Endpoint) (Verdict, map[string]bool) {
	a := apis[e.Provider]
	target, err := url.Parse(strings.TrimSuffix(e.base(), "/") + a.list)
	if err != nil {
		return Verdict{Reason: ReasonUnreachable, Message: "The endpoint is no URL.", Dead: true}, nil
	}
	target.RawQuery = a.query
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
	if err != nil {
		return Verdict{Reason: ReasonUnreachable, Message: "The endpoint is no URL.", Dead: true}, nil
	}
	request.Header.Set("User-Agent", "knative-lambda-operator")
	request.Header.Set("Accept", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return e.unreachable(err), nil
	}
	defer response.Body.Close()
	switch status := response.StatusCode; {
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusTooManyRequests:
		return Verdict{}, nil
	case status < 200 || status > 299:
		return Verdict{Reason: ReasonFailing, Dead: true, Message: fmt.Sprintf("%s answers GET %s with status %d.", e.address(), target.Path, status)}, nil
	case a.names == nil:
		return Verdict{}, nil
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxList+1))
	if err != nil || len(text) > maxList {
		return Verdict{}, nil // it answers; which models it has is not known
	}
	return Verdict{}, a.names(text)
}

// unreachable does not tell a port that is closed from one that is silent: the
// controller is nobody's port scanner.
func (e Endpoint) unreachable(err error) Verdict {
	v := Verdict{Reason: ReasonUnreachable, Message: e.address() + " cannot be reached, or does not answer in time.", Dead: true}
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errForbidden):
		v.Reason, v.Message = ReasonForbidden, e.address()+" is at an address that is not probed: the controller's own machine, or a metadata service."
	case errors.As(err, &dns) && dns.IsNotFound:
		v.Message = e.address() + " has a host name without an address."
	case errors.As(err, &certificate):
		v.Message = e.address() + " has a certificate that is not trusted."
	}
	return v
}

func (e Endpoint) base() string {
	if e.URL != "" {
		return e.URL
	}
	return apis[e.Provider].base
}

// address of the endpoint for a person: without what may be secret in a URL.
func (e Endpoint) address() string {
	u, err := url.Parse(e.base())
	if err != nil {
		return "The endpoint"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// has tells whether the list has the model. Ollama's default tag is latest.
func has(provider string, names map[string]bool, model string) bool {
	return names[model] || provider == "ollama" && !strings.Contains(model, ":") && names[model+":latest"]
}

func ollamaNames(text []byte) map[string]bool {
	var list struct {
		Models []struct {
			Name  string `json:"name"`
			Model string `json:"model"`
		} `json:"models"`
	}
	if json.Unmarshal(text, &list) != nil || list.Models == nil {
		return nil
	}
	names := map[string]bool{}
	for _, m := range list.Models {
		names[m.Name], names[m.Model] = true, true
	}
	return names
}

func openAINames(text []byte) map[string]bool {
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if json.Unmarshal(text, &list) != nil || list.Data == nil {
		return nil
	}
	names := map[string]bool{}
	for _, m := range list.Data {
		names[m.ID] = true
	}
	return names
}
