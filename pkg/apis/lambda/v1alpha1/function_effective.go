package v1alpha1

import (
	"cmp"
	"context"

	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// DefaultPort is the port on which functions and agents listen unless the spec names
// another one.
const DefaultPort = 8080

// EffectiveSpec is a copy of the spec in which each field that the user left out has
// its default. It is the only place that knows the defaults of functions: every reader
// of a default uses it or the status, which publishes it. The result is never stored.
//
// Where the cluster does not offer the language or version, Runtime stays as written.
func (f *LambdaFunction) EffectiveSpec(cfg *config.Config) LambdaFunctionSpec {
	s := f.Spec.DeepCopy()
	ctx := apis.WithinParent(config.ToContext(context.Background(), cfg), f.ObjectMeta)
	s.Source.setEffective()
	s.Runtime.setEffective(cfg, s.Source.Image != nil, f.Status.Runtime)
	if s.Source.Image == nil {
		s.Build.Strategy = cmp.Or(s.Build.Strategy, BuildAuto)
	}
	if s.Scaling.MinReplicas == nil {
		s.Scaling.MinReplicas = new(int32)
	}
	if s.Scaling.MaxReplicas == nil && cfg.Defaults.FunctionMaxReplicas > 0 {
		s.Scaling.MaxReplicas = atLeast(cfg.Defaults.FunctionMaxReplicas, *s.Scaling.MinReplicas)
	}
	setEffectiveResources(&s.Resources, cfg.Defaults.FunctionResources)
	s.setEffectiveCalls(s.languageOf(cfg))
	s.SecurityContext = Restricted(s.SecurityContext)
	s.Visibility = s.effectiveVisibility(f.ObjectMeta, cfg.Defaults)
	s.setEffectiveEventing(ctx)
	for i := range s.Traffic {
		s.Traffic[i].SetDefaults(ctx) // as Knative Serving does, so that both agree
	}
	return *s
}

func (s *FunctionSource) setEffective() {
	s.Type = s.EffectiveType()
	for _, o := range []*ObjectSource{s.MinIO, s.S3, s.GCS} {
		if o != nil {
			o.SecretRef, o.CredentialsSecret = o.secretRef(), ""
		}
	}
	if s.Image != nil {
		s.Image.setEffective()
	}
}

// EffectiveType names the member that is set; empty where not exactly one is.
func (s *FunctionSource) EffectiveType() SourceType {
	if members := s.members(); len(members) == 1 {
		return members[0]
	}
	return ""
}

// members are the types whose member is set.
func (s *FunctionSource) members() []SourceType {
	var set []SourceType
	for _, m := range []struct {
		t  SourceType
		is bool
	}{
		{SourceInline, s.Inline != nil}, {SourceMinIO, s.MinIO != nil}, {SourceS3, s.S3 != nil},
		{SourceGCS, s.GCS != nil}, {SourceGit, s.Git != nil}, {SourceImage, s.Image != nil},
	} {
		if m.is {
			set = append(set, m.t)
		}
	}
	return set
}

// secretRef names the Secret with the store's credentials, in either way to write it.
func (o *ObjectSource) secretRef() *corev1.LocalObjectReference {
	if o.SecretRef == nil && o.CredentialsSecret != "" {
		return &corev1.LocalObjectReference{Name: o.CredentialsSecret}
	}
	return o.SecretRef
}

func (i *ImageReference) setEffective() {
	if i.Digest == "" {
		i.Tag = cmp.Or(i.Tag, "latest")
	}
	i.Port = cmp.Or(i.Port, DefaultPort)
}

// setEffective takes a version that the spec leaves out from what the status recorded:
// the newest version of the day when the function was first seen. A newer one that the
// cluster is given later does not change functions that run.
func (r *FunctionRuntime) setEffective(cfg *config.Config, isImage bool, recorded *RuntimeStatus) {
	if r.Timeout == nil {
		r.Timeout = NewDuration(cfg.Defaults.FunctionTimeout)
	}
	if isImage || cfg.Runtimes == nil {
		return
	}
	if r.Version == "" && recorded != nil && recorded.VersionDefaulted && recorded.Language == r.Language {
		if _, version, err := cfg.Runtimes.Language(r.Language, recorded.Version); err == nil {
			r.Version = RuntimeVersion(version)
		}
	}
	language, version, err := cfg.Runtimes.Language(r.Language, string(r.Version))
	if err != nil {
		return // validation or a condition reports it
	}
	r.Version = RuntimeVersion(version)
	r.Handler = cmp.Or(r.Handler, language.Handler)
}

func setEffectiveResources(r *corev1.ResourceRequirements, d corev1.ResourceRequirements) {
	if r.Requests == nil && r.Limits == nil {
		r.Requests, r.Limits = d.Requests.DeepCopy(), d.Limits.DeepCopy()
	}
}

func atLeast(n int, least int32) *int32 {
	v := max(int32(n), least) //nolint:gosec // configuration bounds it by 10000
	return &v
}
