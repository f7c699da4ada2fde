// Package receiverpath makes and verifies the paths at which the receiver takes events
// for one function or agent. Each path ends in a code that only the operator can make,
// so that nobody else can put events into another owner's queue.
package receiverpath

import (
	"net/url"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
)

// Purposes of the codes. A code of one purpose verifies for no other.
const (
	DeadLetters keyring.Purpose = "dead-letters"
	Approvals   keyring.Purpose = "approvals"
	Controls    keyring.Purpose = "controls"
)

// Kinds of owners, as codes have them.
const (
	Function = "function"
	Agent    = "agent"
)

const (
	// DeadLettersPrefix is followed by <namespace>/<function>/<code> or
	// <namespace>/agents/<agent>/<code>.
	DeadLettersPrefix = "/dead-letters/"
	// AgentsPrefix is followed by <namespace>/<agent>/approvals/<code> or
	// <namespace>/<agent>/controls/<code>.
	AgentsPrefix = "/agents/"

	agentsPart = "agents/"
)

// Target is what a path is for.
type Target struct {
	Purpose         keyring.Purpose
	Kind            string
	Namespace, Name string
}

// base is the path without the code.
func (t Target) base() string {
	switch {
	case t.Purpose != DeadLetters:
		return AgentsPrefix + t.Namespace + "/" + t.Name + "/" + string(t.Purpose) + "/"
	case t.Kind == Agent:
		return DeadLettersPrefix + t.Namespace + "/" + agentsPart + t.Name + "/"
	}
	return DeadLettersPrefix + t.Namespace + "/" + t.Name + "/"
}

// Path returns the target's path, with the code of the current key.
func (t Target) Path(k *keyring.Keyring) string {
	return t.base() + k.Sign(t.Purpose, t.Kind, t.Namespace, t.Name)
}

// Verify reports whether the code is the target's.
func (t Target) Verify(k *keyring.Keyring, code string) bool {
	return k.Verify(code, t.Purpose, t.Kind, t.Namespace, t.Name)
}

// Parse returns the target of a path and its code. It reports false for anything but the
// path of one target; the code is not verified.
func Parse(path string) (t Target, code string, ok bool) {
	if rest, is := strings.CutPrefix(path, DeadLettersPrefix); is {
		parts := strings.Split(rest, "/")
		switch {
		case len(parts) == 3:
			t = Target{DeadLetters, Function, parts[0], parts[1]}
		case len(parts) == 4 && parts[1]+"/" == agentsPart:
			t = Target{DeadLetters, Agent, parts[0], parts[2]}
		default:
			return t, "", false
		}
		code = parts[len(parts)-1]
	} else if rest, is := strings.CutPrefix(path, AgentsPrefix); is {
		parts := strings.Split(rest, "/")
		if len(parts) != 4 {
			return t, "", false
		}
		t, code = Target{keyring.Purpose(parts[2]), Agent, parts[0], parts[1]}, parts[3]
		if t.Purpose != Approvals && t.Purpose != Controls {
			return t, "", false
		}
	}
	ok = code != "" && len(validation.IsDNS1123Label(t.Namespace)) == 0 && len(validation.IsDNS1123Label(t.Name)) == 0
	return t, code, ok
}

var codePattern = regexp.MustCompile(`^[0-9a-v]{26}$`)

// signatureQuery is the query parameter with the signature of a Trigger's subscriber.
const signatureQuery = "lambdasignature"

// Redact returns the text of a URL without the code and without the signature of a
// Trigger's subscriber, and anything else unchanged. URLs
// that leave the owner's namespace, that are logged, or that people read are redacted.
func Redact(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return text
	}
	if query := u.Query(); query.Has(signatureQuery) {
		query.Del(signatureQuery)
		u.RawQuery = query.Encode()
		text = u.String()
	}
	_, code, ok := Parse(u.Path)
	if !ok || !codePattern.MatchString(code) {
		return text
	}
	u.Path = strings.TrimSuffix(u.Path, "/"+code)
	u.RawPath = ""
	return u.String()
}
