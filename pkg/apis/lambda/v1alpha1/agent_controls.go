package v1alpha1

import (
	"regexp"
	"slices"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// Controls are the event controls of an agent that are in force: what the spec names, and
// the defaults of the cluster's configuration for what it leaves out.
type Controls struct {
	// Types of events.
	Types []string
	// Sources of events, with * for any run of characters.
	Sources []string
	// disable and enable are the types that need no data.
	disable, enable []string
	// not is a source that is not allowed.
	not string
}

// Controls returns the event controls in force; nil where events control nothing. The
// agent's own source is not among the default ones: it would restore what was withdrawn
// from it.
func (a *LambdaAgent) Controls(cfg *config.Events) *Controls {
	spec := a.Spec.ActiveControls()
	if spec == nil {
		return nil
	}
	if cfg == nil {
		cfg = config.DefaultEvents()
	}
	c := &Controls{Types: spec.ControlEventTypes, Sources: spec.AllowedControlSources, disable: cfg.DisableTypes, enable: cfg.EnableTypes}
	if len(c.Types) == 0 {
		c.Types = slices.Concat(cfg.DisableTypes, cfg.EnableTypes)
	}
	if len(c.Sources) == 0 {
		c.Sources = []string{"/" + a.Namespace + "/*", "io.knative.lambda/function/" + a.Namespace + "/*"} // as pkg/events has it
		c.not = a.EventSource()
	}
	return c
}

// Allows reports whether controls of that type and source are carried out.
func (c *Controls) Allows(eventType, source string) bool {
	return slices.Contains(c.Types, eventType) && (c.not == "" || source != c.not) &&
		slices.ContainsFunc(c.Sources, func(pattern string) bool { return matchesSource(pattern, source) })
}

// Disables reports whether events of the type withdraw permissions whatever their data.
func (c *Controls) Disables(eventType string) bool { return slices.Contains(c.disable, eventType) }

// Enables reports whether events of the type restore permissions whatever their data.
func (c *Controls) Enables(eventType string) bool { return slices.Contains(c.enable, eventType) }

// matchesSource reports whether a source is as the pattern says, where * stands for
// any run of characters.
func matchesSource(pattern, source string) bool {
	parts := strings.Split(pattern, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	matched, err := regexp.MatchString("^(?s:"+strings.Join(parts, ".*")+")$", source)
	return err == nil && matched
}
