package v1alpha1

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/apis"
)

// The backends of memory.
const (
	MemoryRedis    = "redis"
	MemoryPostgres = "postgres"
)

// KeepsWorking reports whether the agent is to remember its task.
func (m *MemorySpec) KeepsWorking() bool {
	return m != nil && m.Enabled && m.WorkingMemory != nil && m.WorkingMemory.Enabled
}

// KeepsUsers reports whether the agent is to remember users.
func (m *MemorySpec) KeepsUsers() bool {
	return m != nil && m.Enabled && m.UserMemory != nil && m.UserMemory.Enabled
}

// KeepsShortTerm tells whether the agent is to remember conversations.
func (m *MemorySpec) KeepsShortTerm() bool {
	return m != nil && m.Enabled && m.ShortTerm != nil && m.ShortTerm.Enabled
}

// KeepsLongTerm tells whether the agent is to remember facts.
func (m *MemorySpec) KeepsLongTerm() bool {
	return m != nil && m.Enabled && m.LongTerm != nil && m.LongTerm.Enabled
}

func (m *MemorySpec) validate() (errs *apis.FieldError) {
	if m == nil {
		return nil
	}
	if s := m.ShortTerm; s != nil {
		errs = errs.Also(checkBackend(s.Backend, MemoryRedis, s.RedisSecretRef, "redisSecretRef", m.KeepsShortTerm()).ViaField("shortTerm"))
		if s.TTLSeconds != nil && *s.TTLSeconds < 1 {
			errs = errs.Also(apis.ErrInvalidValue(*s.TTLSeconds, "shortTerm.ttlSeconds", "must be at least 1"))
		}
	}
	if l := m.LongTerm; l != nil {
		errs = errs.Also(checkBackend(l.Backend, MemoryPostgres, l.PostgresSecretRef, "postgresSecretRef", m.KeepsLongTerm()).ViaField("longTerm"))
	}
	for i, c := range m.DefaultConstraints {
		if c.Description == "" {
			errs = errs.Also(apis.ErrMissingField("description").ViaFieldIndex("defaultConstraints", i))
		}
	}
	if m.Enabled && !m.KeepsShortTerm() && !m.KeepsLongTerm() && !m.KeepsWorking() && !m.KeepsUsers() {
		errs = errs.Also(apis.ErrGeneric("has no effect: set enabled: true in one of shortTerm, longTerm, workingMemory, userMemory", "enabled").At(apis.WarningLevel))
	}
	return errs.Also(m.warn())
}

// warn says which settings have no effect, because their part of memory is off.
func (m *MemorySpec) warn() (warnings *apis.FieldError) {
	check := func(field string, is *bool, on bool, part string) {
		if is != nil && *is && !on {
			warnings = warnings.Also(apis.ErrGeneric("has no effect: set memory.enabled and memory."+part+".enabled to true", part+"."+field).At(apis.WarningLevel))
		}
	}
	if w := m.WorkingMemory; w != nil {
		check("trackDecisions", w.TrackDecisions, m.KeepsWorking(), "workingMemory")
		check("trackProgress", w.TrackProgress, m.KeepsWorking(), "workingMemory")
	}
	if u := m.UserMemory; u != nil {
		check("storeFacts", u.StoreFacts, m.KeepsUsers(), "userMemory")
		check("storePreferences", u.StorePreferences, m.KeepsUsers(), "userMemory")
	}
	return warnings
}

// checkBackend of a part of memory: one that is on needs the URL from a Secret.
func checkBackend(backend, only string, ref *corev1.SecretKeySelector, field string, on bool) (errs *apis.FieldError) {
	if backend != "" && backend != only {
		errs = errs.Also(apis.ErrInvalidValue(backend, "backend", "expected "+only))
	}
	switch {
	case ref != nil:
		errs = errs.Also(checkKeyOf(ref.Name, ref.Key).ViaField(field))
	case on:
		errs = errs.Also(&apis.FieldError{Message: "missing field(s)", Paths: []string{field},
			Details: fmt.Sprintf("%s is reached by the URL in a Secret", only)})
	}
	return errs
}
