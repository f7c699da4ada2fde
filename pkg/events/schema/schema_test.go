package schema

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// TestEveryTypeOnce: the registry names each type once, in its category, and a
// value of its data is valid by its schema.
func TestEveryTypeOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range events.All {
		if seen[d.Type] {
			t.Errorf("%s is there twice", d.Type)
		}
		seen[d.Type] = true
		if !strings.HasPrefix(d.Type, events.Prefix+string(d.Category)+".") {
			t.Errorf("%s is not of category %s", d.Type, d.Category)
		}
		if Of(d.Type) == nil {
			t.Errorf("%s has no schema", d.Type)
			continue
		}
		if d.Data == nil || d.Category == events.Command {
			continue // zero values of commands lack what they must have
		}
		data, err := json.Marshal(d.Data)
		if err != nil {
			t.Fatal(err)
		}
		if err := Validate(d.Type, data); err != nil {
			t.Errorf("%s: %s is not valid: %v", d.Type, data, err)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct{ name, eventType, data, want string }{
		{"whole", events.CommandFunctionDeploy, `{"namespace":"team","name":"f","spec":{"source":{"inline":{"code":"x"}}}}`, ""},
		{"names in the subject", events.CommandFunctionDelete, `{}`, ""},
		{"spec missing", events.CommandFunctionDeploy, `{"name":"f"}`, "spec"},
		{"misspelt", events.CommandFunctionRollback, `{"name":"f","revison":"f-1"}`, "revison"},
		{"wrong kind", events.CommandDeadLetterList, `{"limit":"ten"}`, "limit"},
		{"no object", events.CommandBuildStart, `[]`, "object"},
		{"no JSON", events.CommandBuildStart, `{`, "expected JSON"},
		{"not the platform's", "io.example.any", `{}`, "unknown type"},
		{"what is told may gain fields", events.NotificationAlertInfo, `{"name":"a","summary":"b","more":1}`, ""},
		{"a function's data is its own", events.InvokeSync, `[1,2]`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Validate(tt.eventType, []byte(tt.data))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("Validate() = %v, want no error", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("Validate() = %v, want an error that says %q", err, tt.want)
			}
		})
	}
}
