package modelproxy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

// tokenUsage of OpenAI's API.
type tokenUsage struct {
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	Total      int64 `json:"total_tokens"`
}

// result of a call, for the budget and for telemetry.
type result struct {
	upstream  *upstream
	id        string
	model     string // that answered
	finish    []string
	input     int64
	output    int64
	reported  bool // whether the provider said how many tokens it took
	outBytes  int  // of text, for an estimate where it did not
	committed bool // whether the agent has got the first byte
}

// reply is what of an answer the proxy reads: a whole one or a chunk, of OpenAI's API
// or of Ollama's.
type reply struct {
	ID      any         `json:"id"`
	Model   string      `json:"model"`
	Usage   *tokenUsage `json:"usage"`
	Choices []struct {
		FinishReason string          `json:"finish_reason"`
		Message      json.RawMessage `json:"message"`
		Delta        json.RawMessage `json:"delta"`
	} `json:"choices"`
	Error json.RawMessage `json:"error"`

	Done       bool            `json:"done"`
	DoneReason string          `json:"done_reason"`
	Message    json.RawMessage `json:"message"`
	Response   string          `json:"response"`
	Input      *int64          `json:"prompt_eval_count"`
	Output     int64           `json:"eval_count"`
}

// add what an answer, or a chunk of one, says.
func (r *result) add(a *reply) {
	if a.Model != "" {
		r.model = a.Model
	}
	if id, ok := a.ID.(string); ok {
		r.id = id
	}
	for _, c := range a.Choices {
		if a.Usage == nil {
			r.outBytes += textIn(c.Message) + textIn(c.Delta)
		}
		if c.FinishReason != "" {
			r.finish = append(r.finish, c.FinishReason)
		}
	}
	r.outBytes += textIn(a.Message) + len(a.Response)
	if a.Done && a.DoneReason != "" {
		r.finish = append(r.finish, a.DoneReason)
	}
	switch {
	case a.Usage != nil:
		r.input, r.output, r.reported = a.Usage.Prompt, max(a.Usage.Completion, a.Usage.Total-a.Usage.Prompt), true
	case a.Input != nil || a.Output > 0:
		if a.Input != nil {
			r.input = *a.Input
		}
		r.output, r.reported = a.Output, true
	}
}

// whole reads an answer that is no stream and checks that it is one.
func whole(u *upstream, q *call, response *http.Response, res *result) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxBody {
		return nil, errGarbage
	}
	if u.Provider == providerAnthropic {
		if text, err = fromAnthropic(text); err != nil {
			return nil, err
		}
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil || members[q.answers] == nil || string(members[q.answers]) == "null" {
		return nil, errGarbage
	}
	var a reply
	if q.operation == "embeddings" { // its members have other types than those of chat
		delete(members, q.answers)
		rest, _ := json.Marshal(members)
		err = json.Unmarshal(rest, &a)
	} else {
		err = json.Unmarshal(text, &a)
	}
	if err != nil {
		return nil, errGarbage
	}
	res.add(&a)
	return text, nil
}

// maxEvent is the longest chunk of a stream, in bytes.
const maxEvent = 4 << 20

// chunks of a stream, as the agent gets them.
type chunks struct {
	ollama bool
	lines  *bufio.Reader
	claude *anthropicStream // nil for all other providers
	ready  [][]byte
}

func newChunks(u *upstream, q *call, response *http.Response) (*chunks, error) {
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if !q.ollama && kind != "text/event-stream" {
		return nil, errGarbage
	}
	c := &chunks{ollama: q.ollama, lines: bufio.NewReaderSize(response.Body, 16<<10)}
	if u.Provider == providerAnthropic {
		c.claude = &anthropicStream{}
	}
	return c, nil
}

// next chunk; io.EOF after the last.
func (c *chunks) next() ([]byte, error) {
	for {
		if len(c.ready) > 0 {
			first := c.ready[0]
			c.ready = c.ready[1:]
			return first, nil
		}
		event, err := c.event()
		if err != nil || c.claude == nil {
			return event, err
		}
		if c.ready, err = c.claude.translate(event); err != nil {
			return nil, err
		}
	}
}

// event reads the next: a line of Ollama's, or the data of a server-sent event.
func (c *chunks) event() (data []byte, err error) {
	for {
		line, err := c.line()
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0 && data != nil:
			return data, nil // the stream ended without its last blank line
		case err != nil && (len(line) == 0 || !errors.Is(err, io.EOF)):
			return nil, err
		case c.ollama:
			if len(line) > 0 {
				return line, nil
			}
		case len(line) == 0:
			if data != nil {
				return data, nil
			}
		default:
			if rest, ok := bytes.CutPrefix(line, []byte("data:")); ok {
				rest = bytes.TrimPrefix(rest, []byte(" "))
				if data != nil {
					data = append(data, '\n')
				}
				if data = append(data, rest...); data == nil {
					data = []byte{}
				}
			}
			if len(data) > maxEvent {
				return nil, errGarbage
			}
		}
		if err != nil && data != nil {
			return data, nil
		}
	}
}

// line without its end; bounded.
func (c *chunks) line() (line []byte, err error) {
	for {
		part, err := c.lines.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxEvent {
			return nil, errGarbage
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(line, "\r\n"), err
		}
	}
}

// parseChunk tells what a chunk says; nil for the end of OpenAI's streams.
func parseChunk(text []byte) (*reply, error) {
	if bytes.Equal(text, done) {
		return nil, nil
	}
	var a reply
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, errGarbage
	}
	if len(a.Error) > 0 && string(a.Error) != "null" {
		return nil, errGarbage
	}
	return &a, nil
}
