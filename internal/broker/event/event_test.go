package event

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cetypes "github.com/cloudevents/sdk-go/v2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

func minimal() cloudevents.Event {
	e := cloudevents.New()
	e.SetID("1")
	e.SetSource("/s")
	e.SetType("t")
	return e
}

func with(change func(e *cloudevents.Event)) cloudevents.Event {
	e := minimal()
	change(&e)
	return e
}

func fromJSON(t *testing.T, text string) cloudevents.Event {
	t.Helper()
	e := cloudevents.New()
	if err := e.UnmarshalJSON([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return e
}

// same compares events by all that they say.
func same(t *testing.T, got, want *cloudevents.Event) {
	t.Helper()
	if diff := cmp.Diff(contentOf(want), contentOf(got)); diff != "" {
		t.Errorf("the event changed (-want +got):\n%s", diff)
	}
}

func contentOf(e *cloudevents.Event) map[string]any {
	content := map[string]any{
		"specversion": e.SpecVersion(), "id": e.ID(), "source": e.Source(), "type": e.Type(), "subject": e.Subject(), "dataschema": e.DataSchema(),
		"datacontenttype": e.DataContentType(), "datacontentencoding": e.DeprecatedDataContentEncoding(), "time": e.Time().Format(time.RFC3339Nano),
		"data": string(e.Data()), "base64": e.DataBase64,
	}
	for name, value := range e.Extensions() {
		switch v := value.(type) { // what they say, not how Go keeps it
		case cetypes.Timestamp:
			value = "time " + v.Format(time.RFC3339Nano)
		case cetypes.URI:
			value = "uri " + v.String()
		case cetypes.URIRef:
			value = "uriref " + v.String()
		}
		content["ext "+name] = value
	}
	return content
}

func TestEncodeDecode(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 2*3600)
	for name, e := range map[string]cloudevents.Event{
		"minimal":   minimal(),
		"a long id": with(func(e *cloudevents.Event) { e.SetID(strings.Repeat("i", 300)) }),
		"everything": with(func(e *cloudevents.Event) {
			e.SetSubject("sub/ject")
			e.SetDataSchema("http://h/schema#1")
			e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 678901234, zone))
			_ = e.SetData("application/json", []byte(`{"a":1}`))
			e.SetExtension("text", "ä\n\x00")
			e.SetExtension("empty", "")
			e.SetExtension("yes", true)
			e.SetExtension("no", false)
			e.SetExtension("number", int32(-7))
			e.SetExtension("uri", cetypes.URI{URL: cetypes.ParseURI("http://h/a%20b?q").URL})
			e.SetExtension("ref", cetypes.URIRef{URL: cetypes.ParseURIRef("../x").URL})
			e.SetExtension("when", time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))
			e.SetExtension("binary", []byte{0, 255, 1})
			e.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		}),
		"binary data": with(func(e *cloudevents.Event) {
			e.SetDataContentType("application/octet-stream")
			e.DataEncoded, e.DataBase64 = []byte{0, 1, 255}, true
		}),
		"an event as data": with(func(e *cloudevents.Event) {
			_ = e.SetData("application/cloudevents+json", []byte(`{"specversion":"1.0"}`))
		}),
		"spaces in the type":  fromJSON(t, `{"specversion":"1.0","id":" 1 ","source":"/s","type":" t "}`),
		"names of 0.3 in 1.0": fromJSON(t, `{"specversion":"1.0","id":"1","source":"/s","type":"t","schemaurl":"x","datacontentencoding":"y"}`),
		"JSON":                fromJSON(t, `{"specversion":"1.0","id":"1","source":"/s","type":"t","bool":true,"int":3,"float":1.5,"data":{"a":[1]}}`),
		"base64 in JSON":      fromJSON(t, `{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"AAH/"}`),
		"0.3":                 fromJSON(t, `{"specversion":"0.3","id":"1","source":"/s","type":"t","schemaurl":"/x","datacontenttype":"a/b","datacontentencoding":"base64","data":"AAH/","dataschema":"z"}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := Encode(&e)
			if err != nil {
				t.Fatal(err)
			}
			if err := EncodeTransit(m, Transit{Attempts: 1, Due: time.Now()}).Validate(); err != nil {
				t.Errorf("no message broker stores it: %v", err)
			}
			got, err := Decode(m)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, &e)
		})
	}
}

func TestEncode_WhenImpossible_NamesAttribute(t *testing.T) {
	t.Parallel()
	v03 := func(name string) cloudevents.Event {
		e := cloudevents.New("0.3")
		e.SetID("1")
		e.SetSource("/s")
		e.SetType("t")
		e.SetExtension(name, "x")
		return e
	}
	for name, tc := range map[string]struct {
		e         cloudevents.Event
		attribute string
	}{
		"name too long":       {with(func(e *cloudevents.Event) { e.SetExtension(strings.Repeat("n", 129), "x") }), strings.Repeat("n", 129)},
		"header of the plane": {v03("lambda-attempts"), "lambda-attempts"},
		"upper case":          {v03("Upper"), "Upper"},
		"no such type": {with(func(e *cloudevents.Event) {
			e.Context.(*cloudevents.EventContextV1).Extensions = map[string]any{"odd": 1.5}
		}), "odd"},
		"an attribute's name": {with(func(e *cloudevents.Event) {
			e.Context.(*cloudevents.EventContextV1).Extensions = map[string]any{"type": "x"}
		}), "type"},
		"too large":            {with(func(e *cloudevents.Event) { e.SetSubject(strings.Repeat("s", MaxHeaders)) }), "subject"},
		"a time of year 10000": {with(func(e *cloudevents.Event) { e.SetTime(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)) }), "time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Encode(&tc.e)
			var refused *AttributeError
			if !errors.As(err, &refused) || refused.Attribute != tc.attribute {
				t.Fatalf("Encode() = %v, want an error about %s", err, tc.attribute)
			}
			if text := err.Error(); len(text) > 400 || !strings.Contains(text, tc.attribute[:min(len(tc.attribute), MaxName)]) {
				t.Errorf("message %q", text)
			}
		})
	}
	if _, err := Encode(&cloudevents.Event{}); err == nil {
		t.Error("an event without attributes was encoded")
	}
}

func TestCheckSize(t *testing.T) {
	t.Parallel()
	for size, ok := range map[int]bool{MaxAttributes - 200: true, MaxAttributes: false} {
		e := with(func(e *cloudevents.Event) { e.SetExtension("big", strings.Repeat("b", size)) })
		m, err := Encode(&e)
		if err != nil {
			t.Fatal(err)
		}
		err = CheckSize(m)
		var refused *AttributeError
		if ok != (err == nil) || !ok && (!errors.As(err, &refused) || refused.Attribute != "big") {
			t.Errorf("CheckSize() with %d bytes = %v", size, err)
		}
	}
	if e := with(func(e *cloudevents.Event) { e.SetExtension(strings.Repeat("n", MaxName), "x") }); true {
		if _, err := Encode(&e); err != nil {
			t.Errorf("a name of %d bytes: %v", MaxName, err)
		}
	}
}

// TestDecode_WhenOthersWrote reads messages as other programs publish them.
func TestDecode_WhenOthersWrote(t *testing.T) {
	t.Parallel()
	full := with(func(e *cloudevents.Event) {
		e.SetSubject("sub")
		e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		e.SetExtension("ext", "x")
		_ = e.SetData("text/plain", "body")
	})
	plain := map[string]any{
		"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "subject": "sub", "time": "2026-01-02T03:04:05Z", "ext": "x", "content-type": "text/plain",
		"x-death": []any{map[string]any{"count": int64(1)}}, "x-delivery-count": int64(3), "table": map[string]any{}, "nothing": nil,
	}
	prefixed := func(prefix string) map[string]any {
		headers := map[string]any{}
		for name, value := range plain {
			if !strings.Contains(name, "-") {
				name = prefix + name
			}
			headers[name] = value
		}
		return headers
	}
	bytes := map[string]any{}
	for name, value := range plain {
		if s, ok := value.(string); ok {
			bytes[name] = []byte(s)
		}
	}
	rabbit := maps.Clone(plain)
	rabbit["dataschema"], rabbit["time"] = "", "0001-01-01T00:00:00Z"
	timeless := full.Clone()
	timeless.SetTime(time.Time{})
	both := maps.Clone(plain)
	both["ce-id"], both["datacontenttype"] = "2", "a/b"
	for name, tc := range map[string]struct {
		headers map[string]any
		body    string
		want    *cloudevents.Event
	}{
		"plain":           {plain, "body", &full},
		"HTTP's prefix":   {prefixed("ce-"), "body", &full},
		"AMQP's prefix":   {prefixed("cloudEvents:"), "body", &full},
		"JMS's prefix":    {prefixed("cloudEvents_"), "body", &full},
		"bytes":           {bytes, "body", &full},
		"no time":         {rabbit, "body", &timeless},
		"plain name wins": {both, "body", &full},
		"structured": {
			map[string]any{"content-type": "application/cloudevents+json; charset=utf-8"},
			`{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"sub","time":"2026-01-02T03:04:05Z","ext":"x","datacontenttype":"text/plain","data":"body"}`, &full,
		},
		"numbers": {
			map[string]any{"specversion": "1.0", "id": int64(7), "source": "/s", "type": "t", "n": int64(5), "big": int64(1) << 40, "f": 1.5, "when": time.Unix(0, 0)}, "",
			func() *cloudevents.Event {
				e := with(func(e *cloudevents.Event) {
					e.SetID("7")
					e.SetExtension("n", int32(5))
					e.SetExtension("big", "1099511627776")
					e.SetExtension("f", "1.5")
					e.SetExtension("when", "1970-01-01T00:00:00Z")
				})
				return &e
			}(),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Decode(&queue.Message{Headers: tc.headers, Body: []byte(tc.body)})
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, tc.want)
		})
	}
}

func TestDecode_WhenNoEvent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		headers map[string]any
		body    string
	}{
		"empty":                      {nil, ""},
		"no specversion":             {map[string]any{"id": "1"}, "x"},
		"another version":            {map[string]any{"specversion": "9"}, ""},
		"no id":                      {map[string]any{"specversion": "1.0", "source": "/s", "type": "t"}, ""},
		"source is no URI":           {map[string]any{"specversion": "1.0", "id": "1", "source": "%zz", "type": "t"}, ""},
		"structured, no JSON":        {map[string]any{"content-type": "application/cloudevents+json"}, "{"},
		"structured, the SDK panics": {map[string]any{"content-type": "application/cloudevents+json"}, `{"specversion":"1.0","id":"1","type":"x","source":"/s","data_base64":5}`},
		"structured, invalid":        {map[string]any{"content-type": "application/cloudevents+json"}, `{"specversion":"1.0"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if e, err := Decode(&queue.Message{Headers: tc.headers, Body: []byte(tc.body)}); err == nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("Decode() = %v, %v; want an error of one line", e, err)
			}
		})
	}
}
