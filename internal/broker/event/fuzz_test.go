package event

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cetypes "github.com/cloudevents/sdk-go/v2/types"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

func FuzzEncodeDecode(f *testing.F) {
	f.Add("1", "/s", "t", "", "", "", "x", int32(1), []byte("d"))
	f.Add(strings.Repeat("i", 300), "http://h/%7Ex?a b#c", " t ", "ä", "text/plain", "http://h/", "\x00", int32(-1), []byte{255})
	f.Add("1", ":a/b", "t", "", "", "a:%2f", "2026-01-02T03:04:05+02:00", int32(0), []byte(nil))
	f.Fuzz(func(t *testing.T, eventID, src, typ, subj, mediaType, schema, value string, number int32, data []byte) {
		e := cloudevents.New()
		c := e.Context.(*cloudevents.EventContextV1)
		c.ID, c.Type = eventID, typ
		e.SetSource(src)
		e.SetDataSchema(schema)
		e.SetSubject(subj)
		e.SetDataContentType(mediaType)
		e.SetExtension("text", value)
		e.SetExtension("number", number)
		e.SetExtension("binary", data)
		e.SetExtension("yes", number%2 == 0)
		if u := cetypes.ParseURIRef(value); u != nil {
			e.SetExtension("uri", *u)
		}
		if when, err := time.Parse(time.RFC3339Nano, value); err == nil && !when.IsZero() {
			e.SetTime(when)
			e.SetExtension("when", when)
		}
		e.DataEncoded = data
		if e.Validate() != nil {
			return
		}
		m, err := Encode(&e)
		if err != nil {
			var refused *AttributeError
			if !errors.As(err, &refused) {
				t.Fatalf("Encode() = %v", err)
			}
			return
		}
		got, err := Decode(EncodeTransit(m, Transit{Attempts: number, Phase: value}))
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, &e)
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("specversion", "1.0", "id", "1", "lambda-types", "id:time", []byte("{}"))
	f.Add("content-type", "application/cloudevents+json", "ce-id", "1", "lambda-due", "x", []byte(`{"specversion":"1.0"}`))
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2, n3, v3 string, body []byte) {
		base := map[string]any{"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
		for name, value := range map[string]string{n1: v1, n2: v2, n3: v3} {
			base[name] = value
			base[name+"b"] = []byte(value)
		}
		for _, headers := range []map[string]any{base, {n1: v1, n2: v2, n3: v3}} {
			m := &queue.Message{Headers: headers, Body: body}
			_ = TransitOf(m)
			e, err := Decode(m)
			if err != nil {
				continue
			}
			if err := e.Validate(); err != nil {
				t.Errorf("an invalid event was read: %v", err)
			}
			for name := range e.Extensions() {
				if !validName(name) {
					t.Errorf("extension %q, of %q", name, slices.Sorted(maps.Keys(headers)))
				}
			}
		}
	})
}
