package build

import (
	"encoding/json"
	"testing"
)

// TestPlan: what the controller writes, the builder reads.
func TestPlan(t *testing.T) {
	plan := Plan{Handler: "main.handler", File: "main.py"}
	var read Plan
	if err := json.Unmarshal([]byte(plan.Marshal()), &read); err != nil || read != plan {
		t.Errorf("%s is read as %+v, %v", plan.Marshal(), read, err)
	}
}
