package modelproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// candidates are the models that may answer the call, in order: the one that it
// names first.
func (c *Config) candidates(q *call) (list []*upstream) {
	if q.operation == "embeddings" {
		// Vectors of one model mean nothing to those of another: only the same one
		// at another place may stand in.
		for i, u := range c.upstreams {
			if (i == 0 || u.Name == q.model) && u.answers(q) {
				list = append(list, u)
			}
		}
		return list
	}
	first := slices.IndexFunc(c.upstreams, func(u *upstream) bool { return u.Name == q.model })
	for i := range c.upstreams {
		// From the one that is named on; what is before it comes last.
		if u := c.upstreams[(first+i)%len(c.upstreams)]; u.answers(q) {
			list = append(list, u)
		}
	}
	return list
}

// answers tells whether the provider has the API that the call is of.
func (u *upstream) answers(q *call) bool {
	if q.ollama {
		return u.ollama != nil
	}
	return q.operation != "embeddings" || u.Provider != providerAnthropic
}

// request makes the call the provider's.
func (u *upstream) request(ctx context.Context, q *call) (*http.Request, error) {
	body, err := u.body(q)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.target(q).String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if q.stream && !q.ollama {
		r.Header.Set("Accept", "text/event-stream")
	}
	u.authorize(r)
	return r, nil
}

// authorize puts the key where the provider looks for it. Nothing else of the
// agent's headers goes to it.
func (u *upstream) authorize(r *http.Request) {
	r.Header.Set("User-Agent", "knative-lambda-model-proxy")
	if u.Provider == providerAnthropic {
		r.Header.Set("Anthropic-Version", "2023-06-01")
	}
	switch {
	case u.key == "":
	case u.Provider == providerAnthropic:
		r.Header.Set("X-Api-Key", u.key)
	case u.Provider == providerAzure:
		r.Header.Set("Api-Key", u.key)
	default:
		r.Header.Set("Authorization", "Bearer "+u.key)
	}
}

func (u *upstream) target(q *call) *url.URL {
	switch {
	case q.ollama:
		return u.ollama.JoinPath(q.path)
	case u.Provider == providerAnthropic:
		return u.base.JoinPath("messages")
	case u.Provider == providerAzure && q.operation == "embeddings":
		// An embedding model is a deployment of its own.
		return u.base.JoinPath("..", url.PathEscape(q.model), "embeddings")
	default:
		return u.base.JoinPath(q.path)
	}
}

// body of the request, with the model's name at this provider.
func (u *upstream) body(q *call) ([]byte, error) {
	fields := maps.Clone(q.fields)
	name := u.Name
	if q.operation == "embeddings" {
		name = q.model
	}
	fields["model"], _ = json.Marshal(name)
	if q.ollama && q.options != nil {
		fields["options"], _ = json.Marshal(q.options)
	}
	if u.Provider == providerAnthropic {
		return toAnthropic(fields, name)
	}
	// OpenAI's newer models refuse max_tokens, and others do not know what came in
	// its place.
	if bound, ok := fields["max_completion_tokens"]; ok && u.Provider != providerOpenAI && fields["max_tokens"] == nil {
		fields["max_tokens"] = bound
		delete(fields, "max_completion_tokens")
	}
	return json.Marshal(fields)
}
