package modelprobe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// The reasons of models that are not available. None of them tells what a server that
// is not a model's answered: whoever names an endpoint must not learn that about the
// operator's neighbours.
const (
	ReasonUnreachable   = "EndpointUnreachable"
	ReasonForbidden     = "EndpointForbidden"
	ReasonInvalid       = "EndpointInvalid"
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

// apis of the providers. None is asked with a key: that a hosted one refuses shows that
// it is reachable.
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

// Client probes endpoints.
type Client struct {
	http *http.Client
}

// NewClient returns a Client that connects where permit allows it. No connection is
// kept: there is one request a minute.
func NewClient(permit egress.Permit) *Client {
	client := egress.Client(permit, 0) // Ask has a deadline
	client.Transport.(*http.Transport).DisableKeepAlives = true
	return &Client{http: client}
}

// Ask an endpoint which of the models it has. Every HTTP response means that it is
// reachable; a valid list of models, in the provider's format, says which it has.
func (c *Client) Ask(ctx context.Context, e Endpoint, models []string) map[string]Verdict {
	all, names := c.look(ctx, e)
	verdicts := make(map[string]Verdict, len(models))
	for _, m := range models {
		verdicts[m] = all
		if all.Reason == "" && names != nil && !has(e.Provider, names, m) {
			verdicts[m] = Verdict{Reason: ReasonModelNotFound, Message: fmt.Sprintf("%s lists its models, and %q is not among them.", e.address(), m)}
		}
	}
	return verdicts
}

// listURL is where the endpoint lists its models.
func (e Endpoint) listURL() (*url.URL, error) {
	a := apis[e.Provider]
	u, err := url.Parse(e.base())
	switch {
	case err != nil || u.Host == "":
		return nil, errors.New("it is not a URL that begins with http:// or https://")
	case u.User != nil:
		return nil, errors.New("it has user info")
	case u.Fragment != "":
		return nil, errors.New("it has a fragment")
	case u.RawQuery != "" && !config.OnlyAzureVersion(u, e.Provider):
		return nil, errors.New("it has a query")
	}
	query := u.RawQuery
	u = u.JoinPath(a.list)
	if u.RawQuery = a.query; query != "" {
		u.RawQuery = query
	}
	return u, nil
}

// look at an endpoint: a verdict on all of its models, and their names where it lists
// them.
func (c *Client) look(ctx context.Context, e Endpoint) (Verdict, map[string]bool) {
	target, err := e.listURL()
	if err != nil {
		return Verdict{Reason: ReasonInvalid, Message: "The endpoint is not probed: " + err.Error() + ".", Dead: true}, nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
	if err != nil {
		return Verdict{Reason: ReasonInvalid, Message: "The endpoint is not a URL.", Dead: true}, nil
	}
	request.Header.Set("User-Agent", "knative-lambda-operator")
	request.Header.Set("Accept", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return e.unreachable(err), nil
	}
	defer response.Body.Close()
	names := apis[e.Provider].names
	if response.StatusCode != http.StatusOK || names == nil {
		return Verdict{}, nil
	}
	text, err := egress.ReadBody(response.Body, maxList)
	if err != nil {
		return Verdict{}, nil // reachable; which models it has is not known
	}
	return Verdict{}, names(text)
}

// unreachable does not distinguish a closed port from a silent one: the controller must
// not be a port scanner for users.
func (e Endpoint) unreachable(err error) Verdict {
	v := Verdict{Reason: ReasonUnreachable, Message: e.address() + " cannot be reached, or does not answer in time.", Dead: true}
	var dns *net.DNSError
	var forbidden *egress.ForbiddenError
	switch {
	case errors.As(err, &forbidden):
		v.Reason, v.Message = ReasonForbidden, e.address()+" is not probed: the address is "+forbidden.Reason+"."
	case errors.As(err, &dns) && dns.IsNotFound:
		v.Message = e.address() + " has a host name without an address."
	}
	return v
}

func (e Endpoint) base() string {
	if e.URL != "" {
		return e.URL
	}
	return apis[e.Provider].base
}

// host of the endpoint's server.
func (e Endpoint) host() string {
	u, err := url.Parse(e.base())
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
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
