package keyring

import (
	"slices"
	"testing"
)

func TestDeriveAll(t *testing.T) {
	old, rotated, finished := ring(t, 1, 0), ring(t, 2, 1), ring(t, 2, 0)
	was, is := old.Derive("p", "ns", "name"), finished.Derive("p", "ns", "name")
	for name, tc := range map[string]struct {
		ring *Keyring
		want []string
	}{
		"one key":           {old, []string{was}},
		"during a rotation": {rotated, []string{is, was}},
		"after a rotation":  {finished, []string{is}},
	} {
		if got := tc.ring.DeriveAll("p", "ns", "name"); !slices.Equal(got, tc.want) {
			t.Errorf("%s: DeriveAll = %v, want %v", name, got, tc.want)
		}
	}
}
