package v1alpha1

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/google/go-containerregistry/pkg/name"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

var (
	// registryPattern is in the schema, too: host or IPv6 address in brackets, port, path.
	registryPattern   = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[a-z0-9._-]+)*/?$`)
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
	errs = errs.Also(b.validateRepository())
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

// validateRepository checks registry and repository without the configuration.
func (b *BuildSpec) validateRepository() (errs *apis.FieldError) {
	const path = "expected a path of lower-case letters, digits, '.', '_', '-' and '/'"
	if b.Repository != "" && (!repositoryPattern.MatchString(b.Repository) || len(b.Repository) > 255) {
		errs = errs.Also(apis.ErrInvalidValue(b.Repository, "repository", path))
	}
	if b.Registry == "" {
		return errs
	}
	const want = "expected a registry as host[:port][/path], without a scheme, such as ghcr.io/owner"
	host, below := b.registry()
	_, err := name.NewRegistry(host)
	switch {
	case err != nil, !registryPattern.MatchString(b.Registry):
		return errs.Also(apis.ErrInvalidValue(b.Registry, "registry", want))
	case below != "" && !repositoryPattern.MatchString(below):
		return errs.Also(apis.ErrInvalidValue(b.Registry, "registry", "after the host: "+path))
	}
	return errs
}

// validateDestination checks where the image would go, with the configuration.
func (b *BuildSpec) validateDestination(ctx context.Context, language string) (errs *apis.FieldError) {
	cfg := config.FromContextOrDefaults(ctx).Build
	parent := apis.ParentMeta(ctx)
	function := config.RepositoryData{Namespace: parent.Namespace, Name: parent.Name, Language: language}
	if function.Name == "" {
		function.Name = parent.GenerateName + "x"
	}
	d, err := b.Destination(cfg, function)
	var notAllowed *RepositoryNotAllowedError
	switch {
	case errors.As(err, &notAllowed) && parent.Namespace != "":
		field := "repository"
		if b.Repository == "" {
			field = "registry"
		}
		errs = errs.Also(apis.ErrInvalidValue(notAllowed.Repository, field,
			fmt.Sprintf("in registry %s, expected a repository that begins with %q, or build.pushSecretRef with credentials of your own", notAllowed.Registry, notAllowed.Own+"/")))
	case err == nil && len(d.Repository) > 255:
		errs = errs.Also(apis.ErrInvalidValue(d.Repository, "repository", "expected at most 255 characters with the path in registry"))
	}
	return errs.Also(b.warnings(cfg, d).At(apis.WarningLevel))
}

// warnings name what has no effect.
func (b *BuildSpec) warnings(cfg *config.Build, d Destination) (errs *apis.FieldError) {
	if d.Replaced != "" {
		errs = errs.Also(apis.ErrGeneric(fmt.Sprintf("registry %q is not in the cluster's configuration: the image goes to %s instead; name that registry, or ask the cluster's administrator for an alias in config-build, registry-aliases", d.Replaced, d.Registry), "registry"))
	}
	if is := cfg.Insecure(d.Registry); b.Insecure != nil && *b.Insecure != is {
		errs = errs.Also(apis.ErrGeneric(fmt.Sprintf("has no effect: config-build, insecure-registries says %t of registry %s; leave it out", is, d.Registry), "insecure"))
	}
	if b.RegistryType != "" && d.Replaced == "" {
		errs = errs.Also(apis.ErrGeneric("has no effect: the name of the registry is all that counts; leave it out", "registryType"))
	}
	if b.Cache != nil && *b.Cache && b.PushSecretRef == nil && cfg.PushSecret == "" {
		errs = errs.Also(apis.ErrGeneric("has no effect without build.pushSecretRef: in a registry that takes anonymous pushes, others can change what is cached", "cache"))
	}
	return errs
}

func (b *BuildSpec) pushSecret() string {
	if b.PushSecretRef == nil {
		return ""
	}
	return b.PushSecretRef.Name
}
