package modelserver

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"strings"
)

// question is what OpenAI's and Ollama's requests have in common.
type question struct {
	Model    string `json:"model"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Prompt        string          `json:"prompt"`
	Input         json.RawMessage `json:"input"`
	Stream        *bool           `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

// text that is asked: the last message, the prompt or the input.
func (q *question) text() string {
	raw := q.Input
	if n := len(q.Messages); n > 0 {
		raw = q.Messages[n-1].Content
	}
	if len(raw) == 0 {
		return q.Prompt
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// words of the answer: an echo, so that tests know it.
func (q *question) words() []string {
	return strings.SplitAfter(q.Model+" heard: "+q.text(), " ")
}

// input counts the words of all that is asked.
func (q *question) input() int {
	n := len(strings.Fields(q.Prompt))
	for _, m := range q.Messages {
		n += len(strings.Fields(string(m.Content)))
	}
	return n
}

func (q *question) usage(output int) map[string]int {
	return map[string]int{"prompt_tokens": q.input(), "completion_tokens": output, "total_tokens": q.input() + output}
}

func (s *Server) chat(w http.ResponseWriter, r *http.Request, q *question, mode string) {
	words := q.words()
	frame := map[string]any{"id": "chatcmpl-1", "created": 1, "model": q.Model}
	if q.Stream == nil || !*q.Stream {
		frame["object"] = "chat.completion"
		frame["choices"] = []any{map[string]any{"index": 0, "finish_reason": "stop",
			"message": map[string]any{"role": "assistant", "content": strings.Join(words, "")}}}
		if mode != ModeNoUsage {
			frame["usage"] = q.usage(len(words))
		}
		writeJSON(w, http.StatusOK, frame)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	frame["object"] = "chat.completion.chunk"
	send := func(choices []any) {
		frame["choices"] = choices
		chunk, _ := json.Marshal(frame)
		fmt.Fprintf(w, "data: %s\n\n", chunk)
		_ = http.NewResponseController(w).Flush()
	}
	ok := s.stream(r, words, mode, func(word string) {
		send([]any{map[string]any{"index": 0, "delta": map[string]any{"content": word}}})
	})
	if !ok {
		return
	}
	send([]any{map[string]any{"index": 0, "delta": map[string]any{}, "finish_reason": "stop"}})
	if q.StreamOptions.IncludeUsage && mode != ModeNoUsage {
		frame["usage"] = q.usage(len(words))
		send([]any{})
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}

// stream sends the words one by one, through the gate where there is one. It tells
// whether all were sent.
func (s *Server) stream(r *http.Request, words []string, mode string, send func(string)) bool {
	for i, word := range words {
		if mode == ModeCutShort && i == 1 {
			return false
		}
		if i > 0 && s.Gate != nil {
			select {
			case <-s.Gate:
			case <-r.Context().Done():
				return false
			}
		}
		send(word)
	}
	return true
}

func (s *Server) ollama(w http.ResponseWriter, r *http.Request, q *question, mode string) {
	words := q.words()
	frame := func(text string, done bool) map[string]any {
		f := map[string]any{"model": q.Model, "created_at": "2026-01-01T00:00:00Z", "done": done}
		if r.URL.Path == "/api/chat" {
			f["message"] = map[string]any{"role": "assistant", "content": text}
		} else {
			f["response"] = text
		}
		if done && mode != ModeNoUsage {
			f["done_reason"], f["prompt_eval_count"], f["eval_count"] = "stop", q.input(), len(words)
		}
		return f
	}
	if q.Stream != nil && !*q.Stream {
		writeJSON(w, http.StatusOK, frame(strings.Join(words, ""), true))
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(w)
	if s.stream(r, words, mode, func(word string) {
		_ = encoder.Encode(frame(word, false))
		_ = http.NewResponseController(w).Flush()
	}) {
		_ = encoder.Encode(frame("", true))
	}
}

func embeddings(w http.ResponseWriter, q *question, mode string) {
	answer := map[string]any{"object": "list", "model": q.Model,
		"data": []any{map[string]any{"object": "embedding", "index": 0, "embedding": vector(q.text())}}}
	if mode != ModeNoUsage {
		n := len(strings.Fields(q.text()))
		answer["usage"] = map[string]int{"prompt_tokens": n, "total_tokens": n}
	}
	writeJSON(w, http.StatusOK, answer)
}

// vector of a text: the same for the same text.
func vector(text string) []float64 {
	h := fnv.New32a()
	_, _ = io.WriteString(h, text) // a hash takes all
	sum := h.Sum32()
	return []float64{float64(sum&0xff) / 255, float64(sum>>8&0xff) / 255, float64(sum>>16&0xff) / 255, float64(sum>>24) / 255}
}

func readAll(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<20))
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}
