package modelproxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// maxBody is the longest request of an agent and the longest answer of a provider
// that is no stream, in bytes.
const maxBody = 32 << 20

// defaultOutput bounds an answer for which nobody names a bound, where there is a
// budget: what may be spent has to be known before it is.
const defaultOutput = 4096

// call is one request of the agent.
type call struct {
	operation  string // as OpenTelemetry names it
	path       string // below the API's base
	ollama     bool   // of Ollama's API
	fields     map[string]json.RawMessage
	options    map[string]json.RawMessage // those of Ollama's API
	model      string                     // that the agent asks for, one that is configured
	stream     bool
	wantsUsage bool   // whether the agent wants to see the tokens of a stream
	input      int64  // tokens, by estimate
	answers    string // the member that a whole answer must have
	output     int64  // bound of tokens; 0 is none
}

// route of a path that asks a model.
type route struct {
	operation, path, answers string
	ollama                   bool
}

var routes = map[string]route{
	"/v1/chat/completions": {"chat", "/chat/completions", "choices", false},
	"/v1/embeddings":       {"embeddings", "/embeddings", "data", false},
	"/api/chat":            {"chat", "/api/chat", "message", true},
	"/api/generate":        {"text_completion", "/api/generate", "response", true},
	"/api/embed":           {"embeddings", "/api/embed", "embeddings", true},
	"/api/embeddings":      {"embeddings", "/api/embeddings", "embedding", true},
}

// read a request. What is wrong with it is the agent's to know.
func (s *Server) read(w http.ResponseWriter, r *http.Request, to route) (*call, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	return s.cfg.newCall(to, body)
}

func (c *Config) newCall(to route, body []byte) (*call, error) {
	q := &call{operation: to.operation, path: to.path, ollama: to.ollama, answers: to.answers}
	if err := json.Unmarshal(body, &q.fields); err != nil || q.fields == nil {
		return nil, fmt.Errorf("expected a JSON object as the body")
	}
	q.stream = to.ollama && to.operation != "embeddings" // Ollama streams unless told not to
	if raw, ok := q.fields["stream"]; ok && string(raw) != "null" {
		if json.Unmarshal(raw, &q.stream) != nil {
			return nil, fmt.Errorf("stream: expected true or false")
		}
	}
	q.stream = q.stream && to.operation != "embeddings"
	if raw, ok := q.fields["model"]; ok && string(raw) != "null" {
		if json.Unmarshal(raw, &q.model) != nil {
			return nil, fmt.Errorf("model: expected a string")
		}
		if q.model == "." || q.model == ".." { // would climb in the path of Azure's API
			return nil, fmt.Errorf("model: expected a name")
		}
	}
	if q.model == "" || to.operation != "embeddings" && !c.knows(q.model) {
		q.model = c.upstreams[0].Name
	}
	if to.operation == "embeddings" {
		q.input = c.estimateInput(q)
		return q, nil
	}
	if to.ollama {
		if err := q.ollamaDefaults(c); err != nil {
			return nil, err
		}
	} else {
		q.openAIDefaults(c)
	}
	q.input = c.estimateInput(q)
	return q, nil
}

// knows tells whether the spec names the model.
func (c *Config) knows(model string) bool {
	return slices.ContainsFunc(c.upstreams, func(u *upstream) bool { return u.Name == model })
}

func (q *call) openAIDefaults(c *Config) {
	setDefault(q.fields, "temperature", c.temperature)
	setDefault(q.fields, "top_p", c.topP)
	q.output = max(number(q.fields["max_tokens"]), number(q.fields["max_completion_tokens"]))
	if q.output == 0 && c.maxTokens > 0 {
		q.bound(c.maxTokens)
	}
	if !q.stream {
		return
	}
	options := map[string]json.RawMessage{}
	if raw, ok := q.fields["stream_options"]; ok {
		_ = json.Unmarshal(raw, &options) // the provider tells what is wrong with it
	}
	q.wantsUsage = string(options["include_usage"]) == "true"
	if options != nil {
		options["include_usage"] = json.RawMessage("true")
		q.fields["stream_options"], _ = json.Marshal(options)
	}
}

func (q *call) ollamaDefaults(c *Config) error {
	if raw, ok := q.fields["options"]; ok {
		if json.Unmarshal(raw, &q.options) != nil {
			return fmt.Errorf("options: expected an object")
		}
	}
	if q.options == nil {
		q.options = map[string]json.RawMessage{}
	}
	setDefault(q.options, "temperature", c.temperature)
	setDefault(q.options, "top_p", c.topP)
	q.output = number(q.options["num_predict"])
	if q.output == 0 && c.maxTokens > 0 {
		q.bound(c.maxTokens)
	}
	return nil
}

// bound the tokens of the answer.
func (q *call) bound(tokens int64) {
	q.output = tokens
	raw, _ := json.Marshal(tokens)
	if q.ollama {
		q.options["num_predict"] = raw
		return
	}
	_, inFull := q.fields["max_completion_tokens"]
	_, short := q.fields["max_tokens"]
	if inFull || !short {
		q.fields["max_completion_tokens"] = raw // renamed for providers that do not know it
	}
	if short {
		q.fields["max_tokens"] = raw
	}
}

// choices that are asked for.
func (q *call) choices() int64 { return max(1, number(q.fields["n"])) }

// estimateInput counts only where there is a budget: it costs a walk through all
// that is asked.
func (c *Config) estimateInput(q *call) int64 {
	if c.share == 0 {
		return 0
	}
	var bytes int
	for _, name := range []string{"messages", "input", "prompt", "system", "tools"} {
		bytes += textIn(q.fields[name])
	}
	return tokensOf(bytes)
}

// textIn JSON: the length of all its strings.
func textIn(raw json.RawMessage) int {
	var value any
	if len(raw) == 0 || json.Unmarshal(raw, &value) != nil {
		return 0
	}
	return textLength(value)
}

// textLength of all strings, in bytes, without those that hold pictures and sounds.
func textLength(value any) (n int) {
	switch v := value.(type) {
	case string:
		if !strings.HasPrefix(v, "data:") {
			n = len(v)
		}
	case []any:
		for _, item := range v {
			n += textLength(item)
		}
	case map[string]any:
		for _, item := range v {
			n += textLength(item)
		}
	}
	return n
}

// tokensOf a text of so many bytes, by a rule of thumb that rather says too many.
func tokensOf(bytes int) int64 { return int64(bytes+2) / 3 }

// setDefault where the request has nothing, or null.
func setDefault(fields map[string]json.RawMessage, name string, value *float64) {
	if raw, ok := fields[name]; value == nil || ok && string(raw) != "null" {
		return
	}
	fields[name], _ = json.Marshal(*value)
}

// number that is above zero; 0 where it is none.
func number(raw json.RawMessage) int64 {
	var n float64
	if json.Unmarshal(raw, &n) != nil || n < 1 || n > 1<<40 {
		return 0
	}
	return int64(n)
}
