package v1alpha1

import (
	"cmp"
	"encoding/json"
)

// Bounds of schedules.
const (
	// MaxSchedules of a function or agent.
	MaxSchedules = 16
	// MaxScheduleData is the number of characters of a schedule's data.
	MaxScheduleData = 16 << 10
)

// DefaultScheduleType is the type of a schedule's events; InvokeScheduled of pkg/events.
const DefaultScheduleType = "io.knative.lambda.invoke.scheduled"

// Schedule sends an event to the function or agent at certain times.
//
// +kubebuilder:validation:XValidation:rule="!has(self.contentType) || size(self.contentType) == 0 || has(self.data) && size(self.data) > 0",message="contentType: goes with data"
type Schedule struct {
	// Name of the schedule: the subject of its events.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="expected a DNS label: lower-case letters, digits and '-'"
	Name string `json:"name"`

	// Cron says when: minute, hour, day of the month, month, day of the week, with an
	// optional field for seconds in front of them; or a macro such as @hourly.
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[0-9A-Za-z*/,?-]+( +[0-9A-Za-z*/,?-]+){4,5})$')",message="expected five fields such as 0 8 * * MON-FRI, six with seconds in front, or a macro such as @hourly"
	Cron string `json:"cron"`

	// TimeZone is the name of a zone in the IANA database, such as Europe/Berlin.
	// Default: UTC.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="size(self) == 0 || self != 'Local' && self.matches('^[A-Za-z][A-Za-z0-9_+/-]*$')",message="expected the name of a time zone such as Europe/Berlin"
	TimeZone string `json:"timeZone,omitempty"`

	// Type of the events. Default: io.knative.lambda.invoke.scheduled.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="size(self) == 0 || self.matches('^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*$')",message="expected an event type such as io.example.order.created"
	Type string `json:"type,omitempty"`

	// Data of the events.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	Data string `json:"data,omitempty"`

	// ContentType of the data. Default: application/json for a JSON object, else
	// text/plain.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="size(self) == 0 || self.matches('^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+( *; *[A-Za-z0-9_.-]+=[A-Za-z0-9_.-]+)*$')",message="expected a media type such as application/json"
	ContentType string `json:"contentType,omitempty"`

	// Suspend stops the events until it is false again.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// ScheduleSource is the CloudEvents source of the schedules of a function or an agent:
// that of its component, as pkg/events has it, and a part for the schedules.
func ScheduleSource(component, namespace, name string) string {
	return "io.knative.lambda/" + component + "/" + namespace + "/" + name + "/schedules"
}

// EffectiveType of the events.
func (s *Schedule) EffectiveType() string { return cmp.Or(s.Type, DefaultScheduleType) }

// EffectiveContentType of the data; empty where there is none.
func (s *Schedule) EffectiveContentType() string {
	switch {
	case s.Data == "" || s.ContentType != "":
		return s.ContentType
	case isJSONObject(s.Data):
		return contentTypeJSON
	}
	return "text/plain"
}

const contentTypeJSON = "application/json"

func isJSONObject(text string) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal([]byte(text), &object) == nil && object != nil
}
