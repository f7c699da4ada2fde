// Package references finds the Secrets and ConfigMaps that pods refer to, and notes which
// version of each it is, so that a change rolls a new revision.
package references

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// The kinds that pods refer to.
const (
	KindSecret    = "Secret"
	KindConfigMap = "ConfigMap"
)

// Reference to a Secret or a ConfigMap in the pod's namespace.
type Reference struct {
	Kind, Name string
	// Key of it; empty where all of it is referred to.
	Key string
	// Field of the spec that refers to it.
	Field string
	// Optional ones may be missing.
	Optional bool
}

// collector of references, each once.
type collector struct {
	fields map[string]string
	found  []Reference
}

func (c *collector) add(kind, name, key string, optional *bool) {
	r := Reference{Kind: kind, Name: name, Key: key, Optional: optional != nil && *optional}
	r.Field = c.fields[r.Place()]
	same := func(o Reference) bool { return o.Place() == r.Place() && o.Optional == r.Optional }
	if name != "" && !slices.ContainsFunc(c.found, same) {
		c.found = append(c.found, r)
	}
}

// Of a pod: exactly what Kubernetes will look up. fields names what refers to a place.
// Volumes that the platform adds are left out.
func Of(pod *corev1.PodSpec, fields map[string]string, platform ...string) []Reference {
	c := &collector{fields: fields}
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			c.environment(&containers[i])
		}
	}
	for i := range pod.Volumes {
		if !slices.Contains(platform, pod.Volumes[i].Name) {
			c.volume(&pod.Volumes[i].VolumeSource)
		}
	}
	slices.SortStableFunc(c.found, func(one, other Reference) int { return strings.Compare(one.Place(), other.Place()) })
	return c.found
}

func (c *collector) environment(of *corev1.Container) {
	for _, e := range of.Env {
		switch from := e.ValueFrom; {
		case from == nil:
		case from.SecretKeyRef != nil:
			c.add(KindSecret, from.SecretKeyRef.Name, from.SecretKeyRef.Key, from.SecretKeyRef.Optional)
		case from.ConfigMapKeyRef != nil:
			c.add(KindConfigMap, from.ConfigMapKeyRef.Name, from.ConfigMapKeyRef.Key, from.ConfigMapKeyRef.Optional)
		}
	}
	for _, from := range of.EnvFrom {
		if s := from.SecretRef; s != nil {
			c.add(KindSecret, s.Name, "", s.Optional)
		}
		if m := from.ConfigMapRef; m != nil {
			c.add(KindConfigMap, m.Name, "", m.Optional)
		}
	}
}

func (c *collector) volume(v *corev1.VolumeSource) {
	if s := v.Secret; s != nil {
		c.add(KindSecret, s.SecretName, "", s.Optional)
	}
	if m := v.ConfigMap; m != nil {
		c.add(KindConfigMap, m.Name, "", m.Optional)
	}
	if v.Projected == nil {
		return
	}
	for _, p := range v.Projected.Sources {
		if s := p.Secret; s != nil {
			c.add(KindSecret, s.Name, "", s.Optional)
		}
		if m := p.ConfigMap; m != nil {
			c.add(KindConfigMap, m.Name, "", m.Optional)
		}
	}
}

// Place is the same for references to the same.
func (r Reference) Place() string { return r.Kind + "/" + r.Name + "/" + r.Key }

// String names what is referred to, and by what.
func (r Reference) String() string {
	what := fmt.Sprintf("%s %q", r.Kind, r.Name)
	if r.Key != "" {
		what = fmt.Sprintf("key %q of %s", r.Key, what)
	}
	if r.Field == "" {
		return what
	}
	return what + ", which " + r.Field + " names,"
}
