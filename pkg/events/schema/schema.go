// Package schema derives a JSON schema of the data of each type of the platform
// from the Go type of the data, and checks data by it.
package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

type entry struct {
	schema   *jsonschema.Schema
	resolved *jsonschema.Resolved
}

var byType = sync.OnceValue(func() map[string]entry {
	all := make(map[string]entry, len(events.All))
	for _, d := range events.All {
		s, err := derive(d)
		if err != nil {
			panic(err) // a type of this repository; a test derives them all
		}
		resolved, err := s.Resolve(nil)
		if err != nil {
			panic(err)
		}
		all[d.Type] = entry{s, resolved}
	}
	return all
})

// derive makes the schema of a definition. What the platform is told is strict, so
// that a misspelt field is refused; what it tells may gain fields.
func derive(d events.Definition) (*jsonschema.Schema, error) {
	if d.Data == nil {
		return &jsonschema.Schema{Title: d.Type, Description: d.Summary}, nil
	}
	s, err := jsonschema.ForType(reflect.TypeOf(d.Data), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Type, err)
	}
	s.Schema, s.Title, s.Description = "https://json-schema.org/draft/2020-12/schema", d.Type, d.Summary
	if d.Category != events.Command {
		open(s)
	}
	return s, nil
}

// open lets an object and what is in it have fields that the schema does not name.
func open(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	if len(s.Properties) > 0 {
		s.AdditionalProperties = nil
	}
	for _, p := range s.Properties {
		open(p)
	}
	open(s.Items)
}

// Of returns the schema of a type's data, nil where the type is not the
// platform's.
func Of(eventType string) *jsonschema.Schema { return byType()[eventType].schema }

// Validate checks data of a type of the platform, given as JSON.
func Validate(eventType string, data []byte) error {
	e, ok := byType()[eventType]
	if !ok {
		return fmt.Errorf("unknown type %q", eventType)
	}
	var instance any
	if err := json.Unmarshal(data, &instance); err != nil {
		return fmt.Errorf("expected JSON: %w", err)
	}
	return e.resolved.Validate(instance)
}
