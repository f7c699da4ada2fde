package v1alpha1

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// SetDefaults implements apis.Defaultable. What depends on the cluster comes
// from the configuration on the context.
func (f *LambdaFunction) SetDefaults(ctx context.Context) {
	f.Spec.SetDefaults(apis.WithinSpec(apis.WithinParent(ctx, f.ObjectMeta)))
	if old, ok := apis.GetBaseline(ctx).(*LambdaFunction); ok && old != nil {
		recordUser(ctx, f, old, !equality.Semantic.DeepEqual(old.Spec, f.Spec))
	} else {
		recordUser(ctx, f, nil, true)
	}
}

// SetDefaults fills in what the spec leaves out.
func (s *LambdaFunctionSpec) SetDefaults(ctx context.Context) {
	cfg := config.FromContextOrDefaults(ctx)
	s.Source.setDefaults()
	s.Runtime.setDefaults(cfg, s.Source.Type)
	if s.Source.Type != SourceImage && s.Build.Strategy == "" {
		s.Build.Strategy = BuildAuto
	}
	if s.Scaling.MinReplicas == nil {
		s.Scaling.MinReplicas = new(int32)
	}
	if s.Scaling.MaxReplicas == nil && cfg.Defaults.FunctionMaxReplicas > 0 {
		s.Scaling.MaxReplicas = atLeast(cfg.Defaults.FunctionMaxReplicas, *s.Scaling.MinReplicas)
	}
	defaultResources(&s.Resources, cfg.Defaults.FunctionResources)
	s.SecurityContext = Restricted(s.SecurityContext)
	s.defaultEventing(ctx)
	s.defaultTraffic(ctx)
}

func (s *FunctionSource) setDefaults() {
	if s.Type == "" {
		if members := s.members(); len(members) == 1 {
			s.Type = members[0]
		}
	}
	for _, o := range []*ObjectSource{s.MinIO, s.S3, s.GCS} {
		if o != nil && o.CredentialsSecret != "" && o.SecretRef == nil {
			o.SecretRef = &corev1.LocalObjectReference{Name: o.CredentialsSecret}
			o.CredentialsSecret = ""
		}
	}
	if s.Image != nil {
		s.Image.setDefaults()
	}
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

func (i *ImageReference) setDefaults() {
	if i.Tag == "" && i.Digest == "" {
		i.Tag = "latest"
	}
	if i.Port == 0 {
		i.Port = DefaultPort
	}
}

// DefaultPort is on which functions and agents listen.
const DefaultPort = 8080

func (r *FunctionRuntime) setDefaults(cfg *config.Config, source SourceType) {
	if r.Timeout == nil {
		r.Timeout = NewDuration(cfg.Defaults.FunctionTimeout)
	}
	if source == SourceImage || cfg.Runtimes == nil {
		return
	}
	language, version, err := cfg.Runtimes.Language(r.Language, r.Version)
	if err != nil {
		return // validation tells it
	}
	r.Version = version
	if r.Handler == "" {
		r.Handler = language.Handler
	}
}

func defaultResources(r *corev1.ResourceRequirements, d corev1.ResourceRequirements) {
	if r.Requests == nil && r.Limits == nil {
		r.Requests, r.Limits = d.Requests.DeepCopy(), d.Limits.DeepCopy()
	}
}

func atLeast(n int, least int32) *int32 {
	v := max(int32(n), least) //nolint:gosec // configuration bounds it by 10000
	return &v
}
