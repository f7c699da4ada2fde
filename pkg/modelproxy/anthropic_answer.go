package modelproxy

import (
	"encoding/json"
	"strings"
	"time"
)

type anthropicUsage struct {
	Input      int64 `json:"input_tokens"`
	CacheWrite int64 `json:"cache_creation_input_tokens"`
	CacheRead  int64 `json:"cache_read_input_tokens"`
	Output     int64 `json:"output_tokens"`
}

// openAI's usage counts cached tokens as input too.
func (u anthropicUsage) openAI() *tokenUsage {
	in := u.Input + u.CacheWrite + u.CacheRead
	return &tokenUsage{Prompt: in, Completion: u.Output, Total: in + u.Output}
}

// finishReasons by Anthropic's stop reasons.
var finishReasons = map[string]string{
	"end_turn": "stop", "stop_sequence": "stop", "pause_turn": "stop", "max_tokens": "length",
	"model_context_window_exceeded": "length", "tool_use": "tool_calls", "refusal": "content_filter",
}

func finishReason(stop string) string {
	if reason, ok := finishReasons[stop]; ok {
		return reason
	}
	return "stop"
}

type anthropicAnswer struct {
	ID         string          `json:"id"`
	Type       string          `json:"type"`
	Model      string          `json:"model"`
	Content    []block         `json:"content"`
	StopReason string          `json:"stop_reason"`
	Usage      *anthropicUsage `json:"usage"`
}

// fromAnthropic translates a whole answer into one of chat completions.
func fromAnthropic(text []byte) ([]byte, error) {
	var a anthropicAnswer
	if err := json.Unmarshal(text, &a); err != nil || a.Type != "message" {
		return nil, errGarbage
	}
	message := map[string]any{"role": "assistant", "content": nil}
	var said []string
	var calls []toolCall
	for _, b := range a.Content {
		switch b.Type {
		case "text":
			said = append(said, b.Text)
		case "tool_use":
			call := toolCall{ID: b.ID, Type: "function"}
			call.Function.Name, call.Function.Arguments = b.Name, string(b.Input)
			calls = append(calls, call)
		}
	}
	if said != nil {
		message["content"] = strings.Join(said, "")
	}
	if calls != nil {
		message["tool_calls"] = calls
	}
	out := map[string]any{
		"id": a.ID, "object": "chat.completion", "created": time.Now().Unix(), "model": a.Model,
		"choices": []any{map[string]any{"index": 0, "message": message, "finish_reason": finishReason(a.StopReason)}},
	}
	if a.Usage != nil {
		out["usage"] = a.Usage.openAI()
	}
	return json.Marshal(out)
}

// anthropicStream translates the events of a stream, one after the other.
type anthropicStream struct {
	id, model string
	created   int64
	usage     anthropicUsage
	tools     map[int]int // index of a block to that of its tool call
}

type anthropicEvent struct {
	Type         string           `json:"type"`
	Message      *anthropicAnswer `json:"message"`
	Index        int              `json:"index"`
	ContentBlock block            `json:"content_block"`
	Delta        struct {
		Type        string `json:"type"`
		Text        string `json:"text"`
		PartialJSON string `json:"partial_json"`
		StopReason  string `json:"stop_reason"`
	} `json:"delta"`
	Usage *anthropicUsage `json:"usage"`
}

// done is how a stream of chat completions ends.
var done = []byte("[DONE]")

// translate one event into the chunks that say the same.
func (s *anthropicStream) translate(text []byte) ([][]byte, error) {
	var e anthropicEvent
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, errGarbage
	}
	switch e.Type {
	case "message_start":
		if e.Message == nil {
			return nil, errGarbage
		}
		s.id, s.model, s.created, s.tools = e.Message.ID, e.Message.Model, time.Now().Unix(), map[int]int{}
		if e.Message.Usage != nil {
			s.usage = *e.Message.Usage
		}
		return s.chunk(map[string]any{"role": "assistant", "content": ""}, nil)
	case "content_block_start":
		if e.ContentBlock.Type == "tool_use" && s.tools != nil {
			s.tools[e.Index] = len(s.tools)
			return s.toolChunk(e.Index, e.ContentBlock.ID, e.ContentBlock.Name, "")
		}
	case "content_block_delta":
		switch e.Delta.Type {
		case "text_delta":
			return s.chunk(map[string]any{"content": e.Delta.Text}, nil)
		case "input_json_delta":
			return s.toolChunk(e.Index, "", "", e.Delta.PartialJSON)
		}
	case "message_delta":
		if e.Usage != nil {
			s.usage.Output = e.Usage.Output
		}
		if e.Delta.StopReason != "" {
			return s.chunk(map[string]any{}, finishReason(e.Delta.StopReason))
		}
	case "message_stop":
		last, err := json.Marshal(map[string]any{"id": s.id, "object": "chat.completion.chunk", "created": s.created, "model": s.model,
			"choices": []any{}, "usage": s.usage.openAI()})
		return [][]byte{last, done}, err
	case "error":
		return nil, errGarbage
	}
	return nil, nil // a ping, or what a later version of the API adds
}

func (s *anthropicStream) chunk(delta map[string]any, finish any) ([][]byte, error) {
	text, err := json.Marshal(map[string]any{"id": s.id, "object": "chat.completion.chunk", "created": s.created, "model": s.model,
		"choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish}}})
	return [][]byte{text}, err
}

func (s *anthropicStream) toolChunk(index int, id, name, arguments string) ([][]byte, error) {
	n, ok := s.tools[index]
	if !ok {
		return nil, nil // of a tool that the provider runs itself
	}
	call := toolCall{Index: &n, ID: id}
	if id != "" {
		call.Type = "function"
	}
	call.Function.Name, call.Function.Arguments = name, arguments
	return s.chunk(map[string]any{"tool_calls": []toolCall{call}}, nil)
}
