package v1alpha1

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// Number is a decimal number that users write as a number or as a string of
// one ("0.7"). It is a number in the schema and in storage: reading takes both,
// writing makes a number. Text that is no number is kept as it is, so that the
// schema and validation can refuse it by its field's path.
//
// +kubebuilder:validation:Type=number
type Number string

// NewNumber returns the Number of f.
func NewNumber(f float64) *Number {
	n := Number(strconv.FormatFloat(f, 'g', -1, 64))
	return &n
}

// Float64 is the number's value; NaN where the text is none.
func (n Number) Float64() float64 {
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil || math.IsInf(f, 0) {
		return math.NaN()
	}
	return f
}

// UnmarshalJSON reads a number, or a string of one.
func (n *Number) UnmarshalJSON(data []byte) error {
	text := string(data)
	if bytes.HasPrefix(data, []byte{'"'}) {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
	}
	*n = Number(text)
	if f := Number(strings.TrimSpace(text)).Float64(); !math.IsNaN(f) {
		*n = *NewNumber(f)
	}
	return nil
}

// MarshalJSON writes a number; text that is none, as a string.
func (n Number) MarshalJSON() ([]byte, error) {
	if f := n.Float64(); !math.IsNaN(f) {
		return []byte(*NewNumber(f)), nil
	}
	return json.Marshal(string(n))
}
