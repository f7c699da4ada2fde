package build

import "testing"

// TestReferenceIsStable: by these names images that exist are found again, and
// children are. A change here builds everything anew.
func TestReferenceIsStable(t *testing.T) {
	if got, want := Reference("r.test/team/python", Input{Source: digest, Language: "python", Version: "3.11"}), "r.test/team/python:e23067fac2b1220fb2ab958a7542f020"; got != want {
		t.Errorf("Reference() = %s, want %s", got, want)
	}
	if got, want := Hash("r.test/own:1"), "c87fe189"; got != want {
		t.Errorf("Hash() = %s, want %s", got, want)
	}
}
