// Command eventdocs writes docs/events.md from the types and schemas of
// pkg/events.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events/schema"
)

const head = `<!-- Generated from pkg/events by hack/update-codegen.sh. -->
# Events

Every type of the platform is ` + "`io.knative.lambda.<category>.<entity>.<action>`" + `. Their source is
` + "`io.knative.lambda/<component>/<namespace>/<name>`" + `, their subject ` + "`<namespace>/<name>`" + `. Data is JSON. Commands are checked strictly: a field
that a command does not know is refused. What the platform tells may gain fields.

Extension attributes:

| attribute | on | meaning |
| --- | --- | --- |
| ` + "`" + events.HopsExtension + "`" + ` | what functions and agents emit | how many functions and agents it came through |
| ` + "`" + events.CausationExtension + "`" + ` | answers | id of the event that is answered |
| ` + "`" + events.ErrorCodeExtension + "`" + ` | dead letters | HTTP status that the function answered; -1 where it did not answer |
| ` + "`" + events.ErrorReasonExtension + "`" + ` | dead letters | why it could not be delivered |
| ` + "`" + events.AttemptsExtension + "`" + ` | dead letters | how often it was sent |
| ` + "`" + events.OriginExtension + "`" + ` | dead letters | where it was sent to |
| ` + "`" + events.DeadTimeExtension + "`" + ` | dead letters | when it became one |
| ` + "`" + events.RetryExtension + "`" + ` | dead letters that are sent again | how often its event has been so |
`

var categories = []struct {
	category events.Category
	title    string
	about    string
}{
	{events.Command, "Commands", "What the receiver carries out: [commands.md](commands.md). All of them take `namespace` and `name` of the function, default those of the subject."},
	{events.LifecycleOf, "Lifecycle", "What became of functions and agents: [lifecycle.md](lifecycle.md)."},
	{events.Invoke, "Invocations", "Events to functions. Any other type invokes a function as well, and the data is the function's own."},
	{events.Response, "Responses", "What functions answer, and the receiver a command. The data of a command's success is a `CommandResult`, below."},
	{events.Approval, "Approvals", "What a supervised agent may do: [approvals.md](approvals.md)."},
	{events.Control, "Controls", "What of its permissions an agent has: [permissions.md](permissions.md). An agent may name other types with the same data."},
	{events.Notification, "Notifications", "Alerts are for whoever emits them, for example an alert manager's webhook; the operator emits the audit types."},
}

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(w io.Writer) error {
	fmt.Fprint(w, head)
	for _, c := range categories {
		fmt.Fprintf(w, "\n## %s\n\n%s\n", c.title, c.about)
		if err := section(w, c.category); err != nil {
			return err
		}
	}
	result, err := jsonschema.For[events.CommandResult](nil)
	if err != nil {
		return err
	}
	fmt.Fprint(w, "\n## CommandResult\n\n")
	fields(w, result)
	return nil
}

func section(w io.Writer, c events.Category) error {
	fmt.Fprint(w, "\n| type | meaning |\n| --- | --- |\n")
	for _, d := range events.All {
		if d.Category == c {
			fmt.Fprintf(w, "| `%s` | %s |\n", d.Type, d.Summary)
		}
	}
	var told []string // types with the same data share a table
	for _, d := range events.All {
		if d.Category != c || d.Data == nil {
			continue
		}
		s := schema.Of(d.Type)
		shape, err := json.Marshal(s.Properties)
		if err != nil {
			return err
		}
		if slices.Contains(told, string(shape)) || only(s, "namespace", "name") {
			continue
		}
		told = append(told, string(shape))
		fmt.Fprintf(w, "\nData of %s:\n\n", strings.Join(sharing(c, string(shape)), ", "))
		fields(w, s)
	}
	return nil
}

// sharing lists the types of a category whose data has that shape.
func sharing(c events.Category, shape string) (types []string) {
	for _, d := range events.All {
		if d.Category != c || d.Data == nil {
			continue
		}
		if text, err := json.Marshal(schema.Of(d.Type).Properties); err == nil && string(text) == shape {
			types = append(types, "`"+strings.TrimPrefix(d.Type, events.Prefix+string(c)+".")+"`")
		}
	}
	return types
}

func only(s *jsonschema.Schema, names ...string) bool {
	for name := range s.Properties {
		if !slices.Contains(names, name) {
			return false
		}
	}
	return true
}

func fields(w io.Writer, s *jsonschema.Schema) {
	fmt.Fprint(w, "| field | type | meaning |\n| --- | --- | --- |\n")
	for _, name := range s.PropertyOrder {
		p := s.Properties[name]
		required := ""
		if slices.Contains(s.Required, name) {
			required = ", required"
		}
		fmt.Fprintf(w, "| `%s` | %s%s | %s |\n", name, kind(p), required, p.Description)
	}
}

func kind(s *jsonschema.Schema) string {
	t := s.Type
	if t == "" {
		t = strings.Join(slices.DeleteFunc(slices.Clone(s.Types), func(t string) bool { return t == "null" }), " or ")
	}
	if t == "array" && s.Items != nil {
		return "array of " + kind(s.Items)
	}
	return t
}
