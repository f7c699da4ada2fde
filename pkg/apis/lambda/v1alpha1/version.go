package v1alpha1

import (
	"bytes"
	"encoding/json"
)

// RuntimeVersion is the version of a language, such as "3.11". YAML reads 3.11 and 20
// without quotes as numbers: those are taken, too, and stored as strings. 3.10 without
// quotes is the number 3.1, which validation reports.
//
// +kubebuilder:validation:XIntOrString
// +kubebuilder:validation:MaxLength=63
type RuntimeVersion string

// UnmarshalJSON reads a string or a number.
func (v *RuntimeVersion) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	var number json.Number
	if data[0] != '"' && json.Unmarshal(data, &number) == nil {
		*v = RuntimeVersion(number.String())
		return nil
	}
	return json.Unmarshal(data, (*string)(v))
}
