package v1alpha1

import (
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// Bounds of durations.
const (
	minTimeout      = time.Second
	minWindow       = 6 * time.Second // as Knative Serving has it
	maxWindow       = time.Hour
	maxRetention    = time.Hour
	maxConversation = 365 * 24 * time.Hour
	maxBudgetWindow = 366 * 24 * time.Hour
)

var handlerPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./-]*$`)

// validateName: the Knative Service of a function or agent has its name, and
// Services are DNS labels.
func validateName(name string) *apis.FieldError {
	if errs := validation.IsDNS1035Label(name); name != "" && len(errs) > 0 {
		return apis.ErrInvalidValue(name, "metadata.name", strings.Join(errs, "; "))
	}
	return nil
}

func checkObjectName(name, field string) *apis.FieldError {
	if errs := validation.IsDNS1123Subdomain(name); len(errs) > 0 {
		return apis.ErrInvalidValue(name, field, strings.Join(errs, "; "))
	}
	return nil
}

func checkDuration(text Duration, least, most time.Duration, field string) *apis.FieldError {
	d, err := time.ParseDuration(string(text))
	switch {
	case err != nil:
		return apis.ErrInvalidValue(string(text), field, "expected a duration such as 90s or 5m")
	case d < least || d > most:
		return apis.ErrOutOfBoundsValue(d, least, most, field)
	}
	return nil
}

// checkURL is config.CheckURL of a field.
func checkURL(text, field string, schemes ...string) *apis.FieldError {
	if err := config.CheckURL(text, schemes...); err != nil {
		return apis.ErrInvalidValue(config.WithoutUserInfo(text), field, err.Error())
	}
	return nil
}

// servingPorts are those of the container that Knative Serving adds to each pod.
var servingPorts = map[int32]bool{8008: true, 8012: true, 8013: true, 8022: true, 9090: true, 9091: true}

func (i *ImageReference) validate() (errs *apis.FieldError) {
	if i.Repository == "" {
		return apis.ErrMissingField("repository")
	}
	if i.Tag != "" && i.Digest != "" {
		errs = errs.Also(apis.ErrMultipleOneOf("tag", "digest"))
	}
	if why := checkRepository(i.Repository); why != "" {
		return errs.Also(apis.ErrInvalidValue(i.Repository, "repository", why))
	}
	if _, err := name.ParseReference(i.Reference()); err != nil {
		if i.Digest != "" {
			errs = errs.Also(apis.ErrInvalidValue(i.Digest, "digest", "expected sha256:<64 hexadecimal digits>"))
		} else {
			errs = errs.Also(apis.ErrInvalidValue(i.Tag, "tag", "expected a tag of letters, digits, '.', '_' and '-'"))
		}
	}
	if i.Port < 0 || i.Port > 65535 {
		errs = errs.Also(apis.ErrOutOfBoundsValue(i.Port, 1, 65535, "port"))
	}
	if servingPorts[i.Port] {
		errs = errs.Also(apis.ErrInvalidValue(i.Port, "port", "Knative Serving listens there itself: choose another port"))
	}
	return errs
}

// Bounds of a repository's path, without its registry, in Knative's parser.
const (
	minRepository = 2
	maxRepository = 255
)

// checkRepository says why an image's repository cannot be one; empty if it can.
func checkRepository(repository string) string {
	named, strict := reference.ParseNormalizedNamed(repository)
	if strict == nil && !reference.IsNameOnly(named) {
		return "expected an image's repository without tag or digest: they have fields of their own"
	}
	if strict == nil {
		path := repository
		if host, rest, ok := strings.Cut(repository, "/"); ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
			path = rest
		}
		if len(path) < minRepository || len(path) > maxRepository {
			return fmt.Sprintf("expected a path of %d to %d characters after the registry, got %d", minRepository, maxRepository, len(path))
		}
	}
	if _, err := name.NewRepository(repository, name.WeakValidation); err != nil || strict != nil {
		return "expected an image's repository such as ghcr.io/owner/name, of lower-case letters, digits, '.', '_', '-' and '/'"
	}
	return ""
}

func (s *ScalingSpec) validate() (errs *apis.FieldError) {
	least, most := int32(0), int32(0)
	if s.MinReplicas != nil {
		least = *s.MinReplicas
		errs = errs.Also(checkCount(least, 0, "minReplicas"))
	}
	if s.MaxReplicas != nil {
		most = *s.MaxReplicas
		errs = errs.Also(checkCount(most, 0, "maxReplicas"))
	}
	if most > 0 && least > most {
		errs = errs.Also(apis.ErrInvalidValue(least, "minReplicas", fmt.Sprintf("must be no more than maxReplicas (%d)", most)))
	}
	if s.InitialScale != nil {
		errs = errs.Also(checkCount(*s.InitialScale, 0, "initialScale"))
	}
	for _, t := range []struct {
		value *int32
		field string
	}{{s.TargetConcurrency, "targetConcurrency"}, {s.Target, "target"}} {
		if t.value != nil && *t.value < 1 {
			errs = errs.Also(apis.ErrInvalidValue(*t.value, t.field, "must be at least 1"))
		}
	}
	if s.Target != nil && s.TargetConcurrency != nil {
		errs = errs.Also(apis.ErrMultipleOneOf("target", "targetConcurrency"))
	}
	if s.TargetConcurrency != nil && s.Metric != "" && s.Metric != "concurrency" {
		errs = errs.Also(apis.ErrInvalidValue(s.Metric, "metric", "targetConcurrency goes with concurrency; use target for other metrics"))
	}
	switch s.Metric {
	case "", "concurrency", "rps", "cpu", "memory":
	default:
		errs = errs.Also(apis.ErrInvalidValue(s.Metric, "metric", "expected concurrency, rps, cpu or memory"))
	}
	errs = errs.Also(s.validateConcurrency())
	if s.Window != nil {
		errs = errs.Also(checkDuration(*s.Window, minWindow, maxWindow, "window"))
		if s.Window.Value()%time.Second != 0 {
			errs = errs.Also(apis.ErrInvalidValue(string(*s.Window), "window", "expected whole seconds"))
		}
	}
	if s.ScaleToZeroGracePeriod != nil {
		errs = errs.Also(checkDuration(*s.ScaleToZeroGracePeriod, 0, maxRetention, "scaleToZeroGracePeriod"))
	}
	if s.ScaleDownDelay != nil {
		errs = errs.Also(checkDuration(*s.ScaleDownDelay, 0, maxWindow, "scaleDownDelay"))
		if s.ScaleDownDelay.Value()%time.Second != 0 {
			errs = errs.Also(apis.ErrInvalidValue(string(*s.ScaleDownDelay), "scaleDownDelay", "expected whole seconds"))
		}
	}
	return errs
}

func checkCount(n, least int32, field string) *apis.FieldError {
	if n < least || n > 10000 {
		return apis.ErrOutOfBoundsValue(n, least, 10000, field)
	}
	return nil
}

func (o *ObservabilitySpec) validate() (errs *apis.FieldError) {
	if o == nil {
		return nil
	}
	if t := o.Tracing; t != nil {
		if t.SamplingRate != nil {
			errs = errs.Also(checkNumber(*t.SamplingRate, 1, "tracing.samplingRate"))
		}
		if t.Endpoint != "" {
			errs = errs.Also(t.validateEndpoint().ViaField("tracing"))
		}
	}
	if l := o.Logging; l != nil {
		switch l.Level {
		case "", "debug", "info", "warning", "error":
		default:
			errs = errs.Also(apis.ErrInvalidValue(l.Level, "logging.level", "expected debug, info, warning or error"))
		}
		switch l.Format {
		case "", "json", "text":
		default:
			errs = errs.Also(apis.ErrInvalidValue(l.Format, "logging.format", "expected json or text"))
		}
	}
	return errs
}

// grpcEndpoint matches host:port, the form of an endpoint that speaks OTLP over gRPC.
var grpcEndpoint = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]]):([0-9]{1,5})$`)

// GRPC reports whether the endpoint is host:port, which is OTLP over gRPC.
func (t *TracingSpec) GRPC() bool { return grpcEndpoint.MatchString(t.Endpoint) }

func (t *TracingSpec) validateEndpoint() *apis.FieldError {
	if parts := grpcEndpoint.FindStringSubmatch(t.Endpoint); parts != nil {
		if port, err := strconv.Atoi(parts[3]); err != nil || port < 1 || port > 65535 {
			return apis.ErrInvalidValue(t.Endpoint, "endpoint", "expected a port from 1 to 65535")
		}
		return nil
	}
	if u, err := url.Parse(t.Endpoint); err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") {
		return checkURL(t.Endpoint, "endpoint", "http", "https")
	}
	return apis.ErrInvalidValue(t.Endpoint, "endpoint", "expected host:port for OTLP over gRPC, or a URL that begins with http:// or https:// for OTLP over HTTP")
}

// checkNumber: from 0 to most, both included.
func checkNumber(n Number, most float64, field string) *apis.FieldError {
	if f := n.Float64(); math.IsNaN(f) || f < 0 || f > most {
		return apis.ErrInvalidValue(string(n), field, fmt.Sprintf("expected a number from 0 to %g", most))
	}
	return nil
}

// reservedEnv are names that the platform sets itself.
func reservedEnv(name string) bool {
	return name == "PORT" || strings.HasPrefix(name, "K_") || strings.HasPrefix(name, "LAMBDA_")
}

func validateEnv(env []corev1.EnvVar, from []corev1.EnvFromSource, reserved func(string) bool) (errs *apis.FieldError) {
	for i, e := range env {
		switch msgs := validation.IsEnvVarName(e.Name); {
		case e.Name == "":
			errs = errs.Also(apis.ErrMissingField("name").ViaFieldIndex("env", i))
		case len(msgs) > 0:
			errs = errs.Also(apis.ErrInvalidValue(e.Name, "name", strings.Join(msgs, "; ")).ViaFieldIndex("env", i))
		case reserved(e.Name):
			errs = errs.Also(apis.ErrInvalidValue(e.Name, "name", "the platform sets PORT, K_* and LAMBDA_* itself: choose another name").ViaFieldIndex("env", i))
		}
	}
	for i, f := range from {
		if (f.ConfigMapRef == nil) == (f.SecretRef == nil) {
			errs = errs.Also(apis.ErrGeneric("expected exactly one of", "configMapRef", "secretRef").ViaFieldIndex("envFrom", i))
		}
	}
	return errs
}

func (p *FunctionPod) validatePod() *apis.FieldError {
	errs := validateEnv(p.Env, p.EnvFrom, reservedEnv)
	errs = errs.Also(validateSecurity(p.SecurityContext).ViaField("securityContext"))
	errs = errs.Also(validateResources(&p.Resources).ViaField("resources"))
	if p.ServiceAccountName != "" {
		errs = errs.Also(checkObjectName(p.ServiceAccountName, "serviceAccountName"))
	}
	return errs.Also(p.validateSettings(p.ServiceAccountName))
}

// validateProjection: who gets a token or a certificate of the cluster says whose.
func validateProjection(v *corev1.ProjectedVolumeSource, serviceAccount string) (errs *apis.FieldError) {
	if v == nil || serviceAccount != "" {
		return nil
	}
	for i, s := range v.Sources {
		for field, set := range map[string]bool{"serviceAccountToken": s.ServiceAccountToken != nil, "podCertificate": s.PodCertificate != nil} {
			if set {
				errs = errs.Also((&apis.FieldError{Message: "must not set the field(s)", Paths: []string{field}, Details: "a pod has a token only of the ServiceAccount that serviceAccountName names"}).ViaFieldIndex("sources", i).ViaField("projected"))
			}
		}
	}
	return errs
}

// supportedVolume: exactly one of those that a pod may have, and none else: no folder of
// the node, above all.
func supportedVolume(v corev1.VolumeSource) bool {
	count := 0
	for _, is := range []bool{v.ConfigMap != nil, v.Secret != nil, v.Projected != nil, v.EmptyDir != nil, v.PersistentVolumeClaim != nil} {
		if is {
			count++
		}
	}
	v.ConfigMap, v.Secret, v.Projected, v.EmptyDir, v.PersistentVolumeClaim = nil, nil, nil, nil, nil
	return count == 1 && v == corev1.VolumeSource{}
}
