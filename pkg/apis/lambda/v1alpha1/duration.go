package v1alpha1

import "time"

// Duration is a length of time as users write it, such as 90s or 5m30s. Text
// that is none is kept as it is, so that the schema and validation can refuse it
// by its field's path: a type that failed to decode it could not name the field.
//
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="self.matches('^(0|([0-9]+([.][0-9]*)?(ns|us|µs|ms|s|m|h))+)$')",message="expected a duration such as 90s or 5m",messageExpression="'expected a duration such as 90s or 5m, not ' + self"
type Duration string

// NewDuration returns the Duration of d.
func NewDuration(d time.Duration) *Duration {
	text := Duration(d.String())
	return &text
}

// Value is the length of time; 0 where the text is none.
func (d Duration) Value() time.Duration {
	v, err := time.ParseDuration(string(d))
	if err != nil {
		return 0
	}
	return v
}
