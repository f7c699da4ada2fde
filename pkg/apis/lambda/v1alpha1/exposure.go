package v1alpha1

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"knative.dev/networking/pkg/apis/networking"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/network"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// effectiveVisibility is the spec's; else that of Knative's own label on the object, which
// people know from Services; else the cluster's.
func (e *Exposure) effectiveVisibility(meta metav1.ObjectMeta, d *config.Defaults) Visibility {
	if e.Visibility == "" && meta.Labels[networking.VisibilityLabelKey] == string(VisibilityClusterLocal) {
		return VisibilityClusterLocal
	}
	return cmp.Or(e.Visibility, Visibility(d.Visibility), VisibilityExternal)
}

func (e *Exposure) validateExposure(ctx context.Context) (errs *apis.FieldError) {
	if e.Visibility != "" && e.Visibility != VisibilityExternal && e.Visibility != VisibilityClusterLocal {
		errs = errs.Also(apis.ErrInvalidValue(e.Visibility, "visibility", "expected external or cluster-local"))
	}
	if len(e.Domains) > 0 && e.effectiveVisibility(apis.ParentMeta(ctx), config.FromContextOrDefaults(ctx).Defaults) == VisibilityClusterLocal {
		errs = errs.Also(apis.ErrGeneric("domains publish what is cluster-local: remove them, or set visibility: external", "domains"))
	}
	names := map[string]bool{}
	for i, d := range e.Domains {
		var of *apis.FieldError
		local := network.GetClusterDomainName()
		switch wrong := validation.IsFullyQualifiedDomainName(field.NewPath("name"), d.Name); {
		case len(wrong) > 0 || strings.HasSuffix(d.Name, "."):
			of = of.Also(apis.ErrInvalidValue(d.Name, "name", "expected a domain such as orders.example.com"))
		case d.Name == local || strings.HasSuffix(d.Name, "."+local):
			of = of.Also(apis.ErrInvalidValue(d.Name, "name", fmt.Sprintf("%s is the cluster's own domain: expected one of yours", local)))
		case names[d.Name]:
			of = of.Also(apis.ErrGeneric(fmt.Sprintf("%q is there twice", d.Name), "name"))
		}
		names[d.Name] = true
		if d.TLSSecretName != "" {
			of = of.Also(checkObjectName(d.TLSSecretName, "tlsSecretName"))
		}
		errs = errs.Also(of.ViaFieldIndex("domains", i))
	}
	return errs
}
