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

// Keeps tells whether the agent is to have this kind of memory.
func (t *MemoryToggle) Keeps() bool { return t != nil && t.Enabled }

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
	if m.Enabled && !m.KeepsShortTerm() && !m.KeepsLongTerm() && !m.WorkingMemory.Keeps() && !m.UserMemory.Keeps() {
		errs = errs.Also(apis.ErrGeneric("memory is on and none of shortTerm, longTerm, workingMemory, userMemory is: the agent is told that it remembers nothing", "enabled").At(apis.WarningLevel))
	}
	return errs
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
