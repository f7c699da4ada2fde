package receiverpath

import (
	"bytes"
	"strings"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
)

func ring(t *testing.T, b byte) *keyring.Keyring {
	t.Helper()
	k, err := keyring.New(map[string][]byte{keyring.CurrentKey: bytes.Repeat([]byte{b}, keyring.KeySize)})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var targets = map[string]Target{
	"/dead-letters/team/greeter/":        {DeadLetters, Function, "team", "greeter"},
	"/dead-letters/team/agents/greeter/": {DeadLetters, Agent, "team", "greeter"},
	"/dead-letters/team/agents/":         {DeadLetters, Function, "team", "agents"},
	"/agents/team/greeter/approvals/":    {Approvals, Agent, "team", "greeter"},
	"/agents/team/greeter/controls/":     {Controls, Agent, "team", "greeter"},
}

// TestPath: each target has a path of its own, and the code of one is no other's.
func TestPath(t *testing.T) {
	keys := ring(t, 1)
	codes := map[string]bool{}
	for prefix, target := range targets {
		path := target.Path(keys)
		if !strings.HasPrefix(path, prefix) {
			t.Errorf("Path(%+v) = %s, want one below %s", target, path, prefix)
		}
		got, code, ok := Parse(path)
		if !ok || got != target || !target.Verify(keys, code) || target.Verify(ring(t, 2), code) {
			t.Errorf("Parse(%s) = %+v, %s, %t; want %+v and a code of this key only", path, got, code, ok, target)
		}
		if codes[code] {
			t.Errorf("two targets have the code %s", code)
		}
		codes[code] = true
		for _, other := range targets {
			if other != target && other.Verify(keys, code) {
				t.Errorf("the code of %+v verifies for %+v", target, other)
			}
		}
	}
}

func TestParse_RefusesOtherPaths(t *testing.T) {
	for _, path := range []string{
		"", "/", "/dead-letters/", "/dead-letters/team", "/dead-letters/team/greeter", "/dead-letters/team/greeter/", "/dead-letters/team/x/greeter/code",
		"/dead-letters/team/agents/greeter/code/more", "/dead-letters/Team/greeter/code", "/dead-letters//greeter/code", "/agents/team/greeter/approvals",
		"/agents/team/greeter/approvals/", "/agents/team/greeter/dead-letters/code", "/agents/team/_/controls/code", "/agents/team/greeter/controls/code/more",
	} {
		if target, code, ok := Parse(path); ok {
			t.Errorf("Parse(%q) = %+v, %q, want that it is refused", path, target, code)
		}
	}
}

func TestRedact(t *testing.T) {
	keys := ring(t, 1)
	for _, target := range targets {
		at := "http://receiver.test" + target.Path(keys)
		want := "http://receiver.test" + strings.TrimSuffix(target.base(), "/")
		for _, query := range []string{"", "?binding=x-dead-letters"} {
			if got := Redact(at + query); got != want+query {
				t.Errorf("Redact(%s) = %s, want %s", at+query, got, want+query)
			}
		}
	}
	const signed = "http://greeter.team.svc/?lambdapermanent=retry&lambdasignature=secret"
	if got := Redact(signed); got != "http://greeter.team.svc/?lambdapermanent=retry" {
		t.Errorf("Redact(%s) = %s, want it without the signature", signed, got)
	}
	for _, other := range []string{"", "http://greeter.team.svc/?lambdapermanent=retry", "http://[", "http://receiver.test/dead-letters/team/greeter", "not a URL"} {
		if got := Redact(other); got != other {
			t.Errorf("Redact(%q) = %q, want it unchanged", other, got)
		}
	}
}
