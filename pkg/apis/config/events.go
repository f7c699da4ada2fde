package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
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
	// DisableTypes and EnableTypes are the event types that withdraw and restore
	// permissions of agents which name no types in permissions.eventControls. Events of
	// these types need no data.
	DisableTypes, EnableTypes []string
}

func defaultEvents() *Events {
	return &Events{DisableTypes: []string{"io.homelab.rbac.disable"}, EnableTypes: []string{"io.homelab.rbac.enable"}}
}

// DefaultEvents are the settings of an empty ConfigMap.
func DefaultEvents() *Events { return defaultEvents() }

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
	p.list("permission-disable-types", &e.DisableTypes, eventType)
	p.list("permission-enable-types", &e.EnableTypes, eventType)
	for _, t := range e.EnableTypes {
		if slices.Contains(e.DisableTypes, t) {
			p.fail("permission-enable-types", fmt.Errorf("expected types that permission-disable-types does not have, got %q", t))
		}
	}
	if n := len(e.DisableTypes) + len(e.EnableTypes); n > maxControlTypes {
		p.fail("permission-enable-types", fmt.Errorf("expected at most %d types with those of permission-disable-types, each of which costs every such agent a Trigger, got %d", maxControlTypes, n))
	}
	return e, p.done()
}

// maxControlTypes is the number of types that an agent may name, too.
const maxControlTypes = 16

var eventTypePattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*$`)

func eventType(text string) error {
	if len(text) > 253 || !eventTypePattern.MatchString(text) {
		return fmt.Errorf("expected event types such as io.example.rbac.disable, separated by commas, got %q", text)
	}
	return nil
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
