package resources

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// memory as environment: the URLs under the names that client libraries and
// frameworks read, the rest as MEMORY_*. Rules that the agent keeps to are in its
// configuration file only.
func memory(m *v1alpha1.MemorySpec) (env []corev1.EnvVar) {
	if m == nil || !m.Enabled {
		return nil
	}
	env = append(env, corev1.EnvVar{Name: "MEMORY_ENABLED", Value: "true"}, corev1.EnvVar{Name: "MEMORY_SCHEMA", Value: m.Schema})
	if m.KeepsShortTerm() {
		env = append(env, fromSecret("REDIS_URL", m.ShortTerm.RedisSecretRef), corev1.EnvVar{Name: "MEMORY_SHORT_TERM_BACKEND", Value: m.ShortTerm.Backend})
		if ttl := m.ShortTerm.TTLSeconds; ttl != nil {
			env = append(env, corev1.EnvVar{Name: "MEMORY_SHORT_TERM_TTL_SECONDS", Value: strconv.FormatInt(*ttl, 10)})
		}
	}
	if m.KeepsLongTerm() {
		env = append(env, fromSecret("DATABASE_URL", m.LongTerm.PostgresSecretRef), fromSecret("POSTGRES_URL", m.LongTerm.PostgresSecretRef),
			corev1.EnvVar{Name: "MEMORY_LONG_TERM_BACKEND", Value: m.LongTerm.Backend})
	}
	if w := m.WorkingMemory; w != nil {
		env = append(env, corev1.EnvVar{Name: "MEMORY_WORKING_ENABLED", Value: strconv.FormatBool(w.Enabled)})
		if w.Enabled {
			env = append(env, toggle("MEMORY_WORKING_TRACK_DECISIONS", w.TrackDecisions)...)
			env = append(env, toggle("MEMORY_WORKING_TRACK_PROGRESS", w.TrackProgress)...)
		}
	}
	if u := m.UserMemory; u != nil {
		env = append(env, corev1.EnvVar{Name: "MEMORY_USER_ENABLED", Value: strconv.FormatBool(u.Enabled)})
		if u.Enabled {
			env = append(env, toggle("MEMORY_USER_STORE_FACTS", u.StoreFacts)...)
			env = append(env, toggle("MEMORY_USER_STORE_PREFERENCES", u.StorePreferences)...)
		}
	}
	return env
}

// toggle is the variable where the spec says yes or no.
func toggle(name string, on *bool) []corev1.EnvVar {
	if on == nil {
		return nil
	}
	return []corev1.EnvVar{{Name: name, Value: strconv.FormatBool(*on)}}
}

func fromSecret(name string, key *corev1.SecretKeySelector) corev1.EnvVar {
	if key == nil {
		return corev1.EnvVar{Name: name}
	}
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: key}}
}
