package modelproxy

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Anthropic's Messages API, as far as OpenAI's chat completions can say it. See
// https://docs.anthropic.com/en/api/messages.

// anthropicOutput bounds an answer for which nobody names a bound: the API wants
// one.
const anthropicOutput = 4096

type chatMessage struct {
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content"`
	ToolCalls  []toolCall      `json:"tool_calls"`
	ToolCallID string          `json:"tool_call_id"`
}

type toolCall struct {
	Index    *int   `json:"index,omitempty"`
	ID       string `json:"id,omitempty"`
	Type     string `json:"type,omitempty"`
	Function struct {
		Name      string `json:"name,omitempty"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// block of content, of all types that are translated.
type block struct {
	Type      string          `json:"type"`
	Text      string          `json:"text,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Input     json.RawMessage `json:"input,omitempty"`
	ToolUseID string          `json:"tool_use_id,omitempty"`
	Content   any             `json:"content,omitempty"`
	Source    *source         `json:"source,omitempty"`
}

// source of a picture.
type source struct {
	Type      string `json:"type"`
	MediaType string `json:"media_type,omitempty"`
	Data      string `json:"data,omitempty"`
	URL       string `json:"url,omitempty"`
}

type anthropicMessage struct {
	Role    string  `json:"role"`
	Content []block `json:"content"`
}

// badRequest is what is wrong with the agent's request.
func badRequest(format string, args ...any) *failure {
	return &failure{status: 400, kind: "400", final: true, message: fmt.Sprintf(format, args...)}
}

// toAnthropic translates a request of chat completions.
func toAnthropic(fields map[string]json.RawMessage, model string) ([]byte, error) {
	var messages []chatMessage
	if err := json.Unmarshal(fields["messages"], &messages); err != nil || len(messages) == 0 {
		return nil, badRequest("messages: expected a list of messages")
	}
	out := map[string]any{"model": model, "max_tokens": int64(anthropicOutput)}
	system, turns, err := anthropicTurns(messages)
	if err != nil {
		return nil, err
	}
	out["messages"] = turns
	if system != "" {
		out["system"] = system
	}
	for _, name := range []string{"max_tokens", "max_completion_tokens"} {
		if n := number(fields[name]); n > 0 {
			out["max_tokens"] = n
		}
	}
	for _, name := range []string{"top_p", "stream"} {
		if raw := fields[name]; raw != nil && string(raw) != "null" {
			out[name] = raw
		}
	}
	var temperature float64
	if raw := fields["temperature"]; raw != nil && json.Unmarshal(raw, &temperature) == nil {
		out["temperature"] = min(temperature, 1) // OpenAI's goes up to 2
	}
	if stop := stopSequences(fields["stop"]); len(stop) > 0 {
		out["stop_sequences"] = stop
	}
	if err := anthropicTools(fields, out); err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// anthropicTurns are the messages without those of the system. Messages of one role
// that follow each other become one, as answers of tools are the user's.
func anthropicTurns(messages []chatMessage) (system string, turns []anthropicMessage, err error) {
	var instructions []string
	for i, m := range messages {
		var blocks []block
		switch m.Role {
		case "system", "developer":
			instructions = append(instructions, textOf(m.Content))
			continue
		case "tool":
			blocks = []block{{Type: "tool_result", ToolUseID: m.ToolCallID, Content: textOf(m.Content)}}
			m.Role = "user"
		case "user", "assistant":
			if blocks, err = contentBlocks(m.Content); err != nil {
				return "", nil, badRequest("messages[%d].content: %v", i, err)
			}
			for _, t := range m.ToolCalls {
				input := json.RawMessage(t.Function.Arguments)
				if strings.TrimSpace(t.Function.Arguments) == "" {
					input = json.RawMessage("{}")
				}
				if !json.Valid(input) {
					return "", nil, badRequest("messages[%d].tool_calls: the arguments of %s are no JSON", i, t.Function.Name)
				}
				blocks = append(blocks, block{Type: "tool_use", ID: t.ID, Name: t.Function.Name, Input: input})
			}
		default:
			return "", nil, badRequest("messages[%d].role: expected system, developer, user, assistant or tool", i)
		}
		if last := len(turns) - 1; last >= 0 && turns[last].Role == m.Role {
			turns[last].Content = append(turns[last].Content, blocks...)
		} else if len(blocks) > 0 {
			turns = append(turns, anthropicMessage{Role: m.Role, Content: blocks})
		}
	}
	return strings.Join(instructions, "\n\n"), turns, nil
}

// parts of content that is no plain text.
type part struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	ImageURL struct {
		URL string `json:"url"`
	} `json:"image_url"`
}

func contentBlocks(raw json.RawMessage) (blocks []block, err error) {
	var text string
	if len(raw) == 0 || json.Unmarshal(raw, &text) == nil { // null too
		if text != "" { // the API refuses empty text
			blocks = append(blocks, block{Type: "text", Text: text})
		}
		return blocks, nil
	}
	var parts []part
	if err := json.Unmarshal(raw, &parts); err != nil {
		return nil, fmt.Errorf("expected text or a list of parts")
	}
	for _, p := range parts {
		switch p.Type {
		case "text":
			if p.Text != "" {
				blocks = append(blocks, block{Type: "text", Text: p.Text})
			}
		case "image_url":
			blocks = append(blocks, block{Type: "image", Source: imageSource(p.ImageURL.URL)})
		default:
			return nil, fmt.Errorf("anthropic has no parts of type %q", p.Type)
		}
	}
	return blocks, nil
}

func imageSource(url string) *source {
	if header, data, ok := strings.Cut(strings.TrimPrefix(url, "data:"), ";base64,"); ok && strings.HasPrefix(url, "data:") {
		return &source{Type: "base64", MediaType: header, Data: data}
	}
	return &source{Type: "url", URL: url}
}

// textOf content, whatever it is made of.
func textOf(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var parts []part
	_ = json.Unmarshal(raw, &parts) // what is no text is left out
	var texts []string
	for _, p := range parts {
		texts = append(texts, p.Text)
	}
	return strings.Join(texts, "\n")
}

func stopSequences(raw json.RawMessage) (stop []string) {
	var one string
	if json.Unmarshal(raw, &one) == nil && one != "" {
		return []string{one}
	}
	_ = json.Unmarshal(raw, &stop)
	return stop
}

func anthropicTools(fields map[string]json.RawMessage, out map[string]any) error {
	var tools []struct {
		Function struct {
			Name        string          `json:"name"`
			Description string          `json:"description"`
			Parameters  json.RawMessage `json:"parameters"`
		} `json:"function"`
	}
	if raw := fields["tools"]; raw != nil && json.Unmarshal(raw, &tools) != nil {
		return badRequest("tools: expected a list of functions")
	}
	if len(tools) == 0 {
		return nil
	}
	var list []map[string]any
	for _, t := range tools {
		schema := t.Function.Parameters
		if len(schema) == 0 || string(schema) == "null" {
			schema = json.RawMessage(`{"type":"object"}`)
		}
		tool := map[string]any{"name": t.Function.Name, "input_schema": schema}
		if t.Function.Description != "" {
			tool["description"] = t.Function.Description
		}
		list = append(list, tool)
	}
	out["tools"] = list
	var word string
	var named struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	}
	choice := map[string]any{}
	switch raw := fields["tool_choice"]; {
	case raw == nil || string(raw) == "null":
	case json.Unmarshal(raw, &word) == nil:
		choice["type"] = map[string]string{"required": "any", "none": "none"}[word]
		if choice["type"] == "" {
			choice["type"] = "auto"
		}
	case json.Unmarshal(raw, &named) == nil && named.Function.Name != "":
		choice["type"], choice["name"] = "tool", named.Function.Name
	}
	if string(fields["parallel_tool_calls"]) == "false" && choice["type"] != "none" {
		if choice["type"] == nil {
			choice["type"] = "auto"
		}
		choice["disable_parallel_tool_use"] = true
	}
	if len(choice) > 0 {
		out["tool_choice"] = choice
	}
	return nil
}
