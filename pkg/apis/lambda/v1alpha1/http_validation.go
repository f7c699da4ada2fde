package v1alpha1

import (
	"regexp"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"knative.dev/pkg/apis"

	runtimeconfig "github.com/brunovlucena/knative-lambda-operator/runtime/config"
)

var sizePattern = regexp.MustCompile(`^[0-9]{1,10}(Ki|Mi|Gi|k|M|G)?$`)

// Bytes of the size; 0 where the text is none.
func (b ByteSize) Bytes() int64 {
	if !sizePattern.MatchString(string(b)) {
		return 0
	}
	q, err := resource.ParseQuantity(string(b))
	if err != nil {
		return 0
	}
	return q.Value()
}

// Runtime is the CORS as the runtime reads it; nil if there is none.
func (c *CORSSpec) Runtime() *runtimeconfig.CORS {
	if c == nil {
		return nil
	}
	out := &runtimeconfig.CORS{
		AllowOrigins: c.AllowOrigins, AllowMethods: c.AllowMethods, AllowHeaders: c.AllowHeaders, ExposeHeaders: c.ExposeHeaders,
		AllowCredentials: c.AllowCredentials,
	}
	if c.MaxAge != nil {
		out.MaxAge = int32(min(c.MaxAge.Value()/time.Second, runtimeconfig.MaxAgeLimit)) //nolint:gosec // bounded
	}
	return out
}

func (h *HTTPSpec) validate(isImage bool) (errs *apis.FieldError) {
	if h == nil {
		return nil
	}
	if n := h.MaxBodySize.Bytes(); h.MaxBodySize != "" && (n < runtimeconfig.MinMaxBody || n > runtimeconfig.MaxMaxBody) {
		errs = errs.Also(apis.ErrInvalidValue(string(h.MaxBodySize), "maxBodySize", "expected a size from 1Ki to 1Gi such as 16Mi"))
	}
	if isImage && h.CORS != nil {
		errs = errs.Also(imageAnswers("cors"))
	}
	if isImage && h.MaxBodySize != "" {
		errs = errs.Also(imageAnswers("maxBodySize"))
	}
	return errs.Also(h.CORS.validate().ViaField("cors"))
}

func (c *CORSSpec) validate() (errs *apis.FieldError) {
	if c == nil {
		return nil
	}
	for _, e := range c.Runtime().Validate() {
		errs = errs.Also(apis.ErrInvalidValue(e.Value, e.Field, "expected "+e.Expected))
	}
	if c.MaxAge != nil {
		errs = errs.Also(checkDuration(*c.MaxAge, 0, runtimeconfig.MaxAgeLimit*time.Second, "maxAge"))
		if c.MaxAge.Value()%time.Second != 0 {
			errs = errs.Also(apis.ErrInvalidValue(string(*c.MaxAge), "maxAge", "expected whole seconds"))
		}
	}
	return errs
}
