package v1alpha1

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"knative.dev/pkg/apis"
)

// validateTraffic: percents of 100 over revisions of this function, tags that can
// be part of a host name.
func (s *LambdaFunctionSpec) validateTraffic(ctx context.Context) (errs *apis.FieldError) {
	if len(s.Traffic) == 0 {
		return nil
	}
	function := apis.ParentMeta(ctx).Name
	tags, sum := map[string]int{}, int64(0)
	for i, t := range s.Traffic {
		var of *apis.FieldError
		latest := t.LatestRevision != nil && *t.LatestRevision
		switch {
		case t.ConfigurationName != "":
			of = of.Also(apis.ErrDisallowedFields("configurationName"))
		case t.RevisionName != "" && latest:
			of = of.Also(apis.ErrMultipleOneOf("latestRevision", "revisionName"))
		case t.RevisionName == "" && t.LatestRevision != nil && !latest:
			of = of.Also(apis.ErrMissingOneOf("latestRevision", "revisionName"))
		case t.RevisionName != "" && function != "" && !strings.HasPrefix(t.RevisionName, function+"-"):
			of = of.Also(apis.ErrInvalidValue(t.RevisionName, "revisionName", fmt.Sprintf("expected a revision of this function, such as %s-00001", function)))
		}
		if t.URL != nil {
			of = of.Also(apis.ErrDisallowedFields("url"))
		}
		if t.Percent != nil {
			if *t.Percent < 0 || *t.Percent > 100 {
				of = of.Also(apis.ErrOutOfBoundsValue(*t.Percent, 0, 100, "percent"))
			}
			sum += *t.Percent
		}
		if msgs := validation.IsDNS1035Label(t.Tag); t.Tag != "" && len(msgs) > 0 {
			of = of.Also(apis.ErrInvalidValue(t.Tag, "tag", strings.Join(msgs, "; ")))
		}
		if first, twice := tags[t.Tag]; twice && t.Tag != "" {
			of = of.Also(apis.ErrInvalidValue(t.Tag, "tag", fmt.Sprintf("traffic[%d] has it already", first)))
		} else {
			tags[t.Tag] = i
		}
		errs = errs.Also(of.ViaFieldIndex("traffic", i))
	}
	if sum != 100 {
		errs = errs.Also(apis.ErrInvalidValue(sum, "traffic", "the percents must add up to 100"))
	}
	return errs
}
