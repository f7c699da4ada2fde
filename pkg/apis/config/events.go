package config

import (
	"fmt"
	"net/netip"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// EventsConfigName is the ConfigMap that says which events the platform takes and
// where its own go.
const EventsConfigName = "config-events"

// Events says which events the platform takes and where its own go.
type Events struct {
	// CommandAliases are other names of commands: a type, or the beginning of
	// types where it ends in a dot, and what stands for it.
	CommandAliases map[string]string
	// ResponseSink is a URL that gets what commands are answered, beside who sent
	// them; empty is none.
	ResponseSink string
	// LifecycleSink is a URL that gets lifecycle and audit events; empty is none.
	LifecycleSink string
	// ApprovalAllowedNetworks are those in which approvals may be asked for, besides
	// the public Internet.
	ApprovalAllowedNetworks []netip.Prefix
}

func defaultEvents() *Events { return &Events{} }

// NewEventsFromConfigMap parses config-events. The error names the key and what
// would be right.
func NewEventsFromConfigMap(cm *corev1.ConfigMap) (*Events, error) {
	e := defaultEvents()
	p := newParser(EventsConfigName, cm.Data)
	p.yaml("command-aliases", &e.CommandAliases)
	for alias, of := range e.CommandAliases {
		p.fail("command-aliases", checkAlias(alias, of))
	}
	p.text("response-sink", &e.ResponseSink, httpURL)
	p.text("lifecycle-sink", &e.LifecycleSink, httpURL)
	p.networks("approval-allowed-networks", &e.ApprovalAllowedNetworks)
	return e, p.done()
}

// The platform's types, and its commands among them.
const (
	platformTypes = "io.knative.lambda."
	commandTypes  = platformTypes + "command."
)

func checkAlias(alias, of string) error {
	switch {
	case strings.HasPrefix(alias, platformTypes):
		return fmt.Errorf("%q is a type of the platform itself and cannot be another name", alias)
	case strings.HasSuffix(alias, ".") != strings.HasSuffix(of, "."):
		return fmt.Errorf("%q: expected a type for a type, or a prefix that ends in a dot for another, got %q", alias, of)
	case !strings.HasPrefix(of, commandTypes):
		return fmt.Errorf("%q: expected a command of the platform, %s…, got %q", alias, commandTypes, of)
	}
	return nil
}

// Command is the command that a type stands for: itself, or what it is another
// name of. The longest alias decides.
func (e *Events) Command(eventType string) string {
	aliases := make([]string, 0, len(e.CommandAliases))
	for alias := range e.CommandAliases {
		aliases = append(aliases, alias)
	}
	sort.Slice(aliases, func(i, j int) bool { return len(aliases[i]) > len(aliases[j]) })
	for _, alias := range aliases {
		if alias == eventType {
			return e.CommandAliases[alias]
		}
		if rest, ok := strings.CutPrefix(eventType, alias); ok && strings.HasSuffix(alias, ".") {
			return e.CommandAliases[alias] + rest
		}
	}
	return eventType
}
