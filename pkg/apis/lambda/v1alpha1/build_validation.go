package v1alpha1

import (
	"fmt"
	"regexp"

	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

var (
	registryPattern   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)
	repositoryPattern = regexp.MustCompile(`^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$`)
	argPattern        = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

func (s *LambdaFunctionSpec) validateBuild(cfg *config.Config) (errs *apis.FieldError) {
	b := s.Build
	if b.Timeout != nil {
		errs = errs.Also(checkDuration(*b.Timeout, minTimeout, cfg.Defaults.MaxBuildTimeout, "timeout"))
	}
	switch b.Strategy {
	case "", BuildAuto, BuildKaniko:
	default:
		errs = errs.Also(apis.ErrInvalidValue(b.Strategy, "strategy", "expected auto or kaniko"))
	}
	if b.Dockerfile != "" {
		if err := checkPath(b.Dockerfile); err != nil {
			errs = errs.Also(apis.ErrInvalidValue(b.Dockerfile, "dockerfile", err.Error()))
		}
	}
	if b.Registry != "" && !registryPattern.MatchString(b.Registry) {
		errs = errs.Also(apis.ErrInvalidValue(b.Registry, "registry", "expected a registry as host or host:port"))
	}
	if b.Repository != "" && (!repositoryPattern.MatchString(b.Repository) || len(b.Repository) > 255) {
		errs = errs.Also(apis.ErrInvalidValue(b.Repository, "repository", "expected a path of lower-case letters, digits, '.', '_', '-' and '/'"))
	}
	if b.Insecure != nil {
		registry := b.Registry
		if registry == "" {
			registry = cfg.Build.Registry
		}
		if is := cfg.Build.Insecure(registry); *b.Insecure != is {
			errs = errs.Also(apis.ErrInvalidValue(*b.Insecure, "insecure",
				fmt.Sprintf("config-build says %t of registry %q: leave it out, or ask the cluster's administrator to change insecure-registries", is, registry)))
		}
	}
	seen := map[string]bool{}
	for i, a := range b.Args {
		if !argPattern.MatchString(a.Name) {
			errs = errs.Also(apis.ErrInvalidValue(a.Name, "name", "expected a name of letters, digits and '_'").ViaFieldIndex("args", i))
		}
		if seen[a.Name] {
			errs = errs.Also(apis.ErrGeneric(fmt.Sprintf("%q is there twice", a.Name), "name").ViaFieldIndex("args", i))
		}
		seen[a.Name] = true
	}
	for _, secret := range []struct{ name, field string }{{b.ImagePullSecret, "imagePullSecret"}, {b.pushSecret(), "pushSecretRef.name"}} {
		if secret.name != "" {
			errs = errs.Also(checkObjectName(secret.name, secret.field))
		}
	}
	if b.PushSecretRef != nil && b.PushSecretRef.Name == "" {
		errs = errs.Also(apis.ErrMissingField("pushSecretRef.name"))
	}
	return errs
}

func (b *BuildSpec) pushSecret() string {
	if b.PushSecretRef == nil {
		return ""
	}
	return b.PushSecretRef.Name
}
