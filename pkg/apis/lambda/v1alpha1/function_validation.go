package v1alpha1

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// MaxInlineBytes of inline source, dependencies included.
const MaxInlineBytes = 512 << 10

// maxPathDepth is how many parts a path has, as in fetched sources (source.MaxDepth).
const maxPathDepth = 64

// Validate implements apis.Validatable: what is wrong, by field, with what
// would be right.
func (f *LambdaFunction) Validate(ctx context.Context) *apis.FieldError {
	if apis.IsInStatusUpdate(ctx) || apis.IsInDelete(ctx) {
		return nil
	}
	errs := validateName(f.Name)
	if old, ok := apis.GetBaseline(ctx).(*LambdaFunction); ok && apis.IsInUpdate(ctx) && equality.Semantic.DeepEqual(old.Spec, f.Spec) {
		return errs // labels, annotations or finalizers of a spec that was admitted once
	}
	return errs.Also(f.Spec.Validate(apis.WithinSpec(apis.WithinParent(ctx, f.ObjectMeta))).ViaField("spec"))
}

// Validate tells what is wrong with the spec.
func (s *LambdaFunctionSpec) Validate(ctx context.Context) *apis.FieldError {
	cfg := config.FromContextOrDefaults(ctx)
	errs := s.Source.validate(cfg).ViaField("source")
	errs = errs.Also(s.validateRuntime(cfg))
	errs = errs.Also(s.validateBuild(cfg).ViaField("build"))
	if s.Source.Image == nil && s.Build.validateRepository() == nil {
		errs = errs.Also(s.Build.validateDestination(ctx, s.Runtime.Language).ViaField("build"))
	}
	errs = errs.Also(s.Scaling.validate().ViaField("scaling"))
	errs = errs.Also(s.validateCalls(cfg))
	errs = errs.Also(s.HTTP.validate(s.Source.Image != nil).ViaField("http"))
	errs = errs.Also(s.validatePod())
	errs = errs.Also(s.validateExposure(ctx))
	errs = errs.Also(s.validateTriggers(ctx))
	errs = errs.Also(s.Eventing.validate(ctx).ViaField("eventing"))
	errs = errs.Also(validateSchedules(s.Schedules, s.ActiveEventing() != nil))
	if e, t := s.Eventing, s.Runtime.Timeout; e != nil && t != nil {
		errs = errs.Also(e.warnTimeout(t.Value(), "runtime.timeout").ViaField("eventing"))
	}
	errs = errs.Also(s.Observability.validate().Also(s.warnObservability()).ViaField("observability"))
	return errs.Also(s.validateTraffic(ctx))
}

var sourceNames = []string{"inline", "minio", "s3", "gcs", "git", "image"}

func (s *FunctionSource) validate(cfg *config.Config) (errs *apis.FieldError) {
	members := s.members()
	switch {
	case len(members) == 0:
		return apis.ErrMissingOneOf(sourceNames...)
	case len(members) > 1:
		var fields []string
		for _, m := range members {
			fields = append(fields, string(m))
		}
		return apis.ErrMultipleOneOf(fields...)
	case s.Type != "" && s.Type != members[0]:
		errs = errs.Also(apis.ErrInvalidValue(s.Type, "type", fmt.Sprintf("%s is set: expected type %q, or no type", members[0], members[0])))
	}
	if s.Inline != nil {
		errs = errs.Also(s.Inline.validate().ViaField("inline"))
	}
	if s.Image != nil {
		errs = errs.Also(s.Image.validate().ViaField("image"))
	}
	return errs.Also(s.validateExternal(cfg.Build))
}

func (i *InlineSource) validate() (errs *apis.FieldError) {
	switch {
	case i.Code == "" && len(i.Files) == 0:
		return apis.ErrMissingOneOf("code", "files")
	case i.Code != "" && len(i.Files) > 0:
		return apis.ErrMultipleOneOf("code", "files")
	}
	size := len(i.Code) + len(i.Dependencies)
	for name, text := range i.Files {
		size += len(name) + len(text)
		if err := checkPath(name); err != nil {
			errs = errs.Also(apis.ErrInvalidKeyName(name, "files", err.Error()))
		}
	}
	errs = errs.Also(checkFolders(i.Files))
	if size > MaxInlineBytes {
		errs = errs.Also(apis.ErrGeneric(fmt.Sprintf("%d bytes of inline source; at most %d fit: use a bucket or a git repository for more", size, MaxInlineBytes), apis.CurrentField))
	}
	return errs
}

// checkPath tells why a path cannot be a file of a source.
func checkPath(name string) error {
	switch {
	case name == "" || name == ".":
		return errors.New("expected a path such as main.py")
	case strings.ContainsAny(name, "\\\x00\n\r") || len(name) > 255:
		return errors.New("expected a path of at most 255 characters with '/' between its parts")
	case strings.Count(name, "/") >= maxPathDepth:
		return fmt.Errorf("expected a path of at most %d parts", maxPathDepth)
	case strings.HasPrefix(name, "/"):
		return errors.New("expected a relative path")
	case path.Clean(name) != name || name == ".." || strings.HasPrefix(name, "../"):
		return errors.New("expected a path inside the source without '.', '..' and double '/'")
	}
	return nil
}

func (s *LambdaFunctionSpec) validateRuntime(cfg *config.Config) (errs *apis.FieldError) {
	r := s.Runtime
	if r.Timeout != nil {
		errs = errs.Also(checkDuration(*r.Timeout, minTimeout, cfg.Defaults.MaxFunctionTimeout, "runtime.timeout"))
	}
	if s.Source.Image != nil {
		if msgs := validation.IsValidLabelValue(r.Language); len(msgs) > 0 { // the Service carries it as a label
			errs = errs.Also(apis.ErrInvalidValue(r.Language, "runtime.language", strings.Join(msgs, "; ")))
		}
		return errs
	}
	if r.Language == "" {
		return errs.Also(apis.ErrMissingField("runtime.language"))
	}
	if r.Handler != "" && !handlerPattern.MatchString(r.Handler) {
		errs = errs.Also(apis.ErrInvalidValue(r.Handler, "runtime.handler", "expected a name such as main.handler"))
	}
	if cfg.Runtimes == nil {
		return errs
	}
	language, ok := cfg.Runtimes.Languages[r.Language]
	if !ok {
		return errs.Also(apis.ErrInvalidValue(r.Language, "runtime.language", "expected one of "+strings.Join(cfg.Runtimes.Names(), ", ")))
	}
	errs = errs.Also(validateVersion(cfg.Runtimes, r.Language, string(r.Version)))
	switch {
	case s.Source.Inline != nil && s.Source.Inline.Dependencies != "" && language.DependenciesFile == "":
		errs = errs.Also(apis.ErrGeneric(r.Language+" has no manifest of dependencies in config-runtimes", "source.inline.dependencies"))
	case s.Source.Inline != nil && s.Source.Inline.Dependencies != "" && s.Source.Inline.Files[language.DependenciesFile] != "":
		errs = errs.Also(apis.ErrMultipleOneOf("source.inline.dependencies", fmt.Sprintf("source.inline.files[%s]", language.DependenciesFile)))
	}
	return errs
}

// validateVersion warns of a version that the cluster does not offer: the manifest is
// right, and an administrator may add the version. A condition reports it, too.
func validateVersion(runtimes *config.Runtimes, language, version string) *apis.FieldError {
	_, _, err := runtimes.Language(language, version)
	var unknown *config.UnknownError
	if !errors.As(err, &unknown) {
		return nil
	}
	if slices.Contains(unknown.Known, version+"0") { // YAML's number 3.10 is 3.1
		return apis.ErrInvalidValue(version, "runtime.version", fmt.Sprintf("YAML reads %s0 without quotes as the number %s: expected quotes, version: %q", version, version, version+"0"))
	}
	return apis.ErrInvalidValue(version, "runtime.version", fmt.Sprintf(
		"the cluster does not offer this version of %s, and the function is not built until it does; offered: %s", language, strings.Join(unknown.Known, ", "))).At(apis.WarningLevel)
}
