package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/kubernetes"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/reconciler"
	"knative.dev/pkg/webhook"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// Defaulting is Knative's defaulting of both kinds.
type Defaulting interface {
	controller.Reconciler
	reconciler.LeaderAware
	webhook.AdmissionController
}

// Mutation decorates the defaulting of both kinds. It keeps the annotations that only
// the operator writes, and signs the permissions of agents for the controller, after it
// has verified that the user who gives them holds them.
type Mutation struct {
	Defaulting
	webhook.StatelessAdmissionImpl
	Kube kubernetes.Interface
	// Keys sign.
	Keys *keyring.Store[keyring.Keyring]
	// Controller and Receiver are the users of the operator.
	Controller, Receiver string
	// Now is the time.
	Now func() time.Time
}

var _ webhook.StatelessAdmissionController = (*Mutation)(nil)

// change of an object, as it is after defaulting.
type change struct {
	request *admissionv1.AdmissionRequest
	old     map[string]any // nil for a new object
	now     map[string]any
	// set are the annotations to write; an empty value removes one.
	set      map[string]string
	warnings []string
}

// Admit implements webhook.AdmissionController.
func (m *Mutation) Admit(ctx context.Context, request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	response := m.Defaulting.Admit(ctx, request)
	if !response.Allowed || request.SubResource != "" || request.Operation == admissionv1.Delete || request.Operation == admissionv1.Connect {
		return response
	}
	c, err := newChange(request, response.Patch)
	if err != nil {
		return webhook.MakeErrorStatus("%v", err)
	}
	if request.UserInfo.Username != m.Controller {
		c.keep(lambda.ToldAnnotationKey)
	}
	if request.Kind.Kind == "LambdaAgent" {
		if err := m.agent(ctx, c); err != nil {
			return webhook.MakeErrorStatus("%v", err)
		}
	}
	if response.Patch, err = c.patch(response.Patch); err != nil {
		return webhook.MakeErrorStatus("%v", err)
	}
	response.Warnings = append(response.Warnings, c.warnings...)
	return response
}

func newChange(request *admissionv1.AdmissionRequest, patch []byte) (*change, error) {
	c := &change{request: request, set: map[string]string{}}
	text := request.Object.Raw
	if len(patch) > 0 {
		decoded, err := jsonpatch.DecodePatch(patch)
		if err != nil {
			return nil, fmt.Errorf("reading the patch of the defaults: %w", err)
		}
		if text, err = decoded.Apply(text); err != nil {
			return nil, fmt.Errorf("applying the defaults: %w", err)
		}
	}
	if err := json.Unmarshal(text, &c.now); err != nil {
		return nil, err
	}
	if len(request.OldObject.Raw) > 0 {
		if err := json.Unmarshal(request.OldObject.Raw, &c.old); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func annotationsOf(o map[string]any) map[string]any {
	meta, _ := o["metadata"].(map[string]any)
	annotations, _ := meta["annotations"].(map[string]any)
	return annotations
}

func annotation(o map[string]any, key string) string {
	text, _ := annotationsOf(o)[key].(string)
	return text
}

// write sets an annotation of the object; an empty value removes it.
func (c *change) write(key, value string) {
	if annotation(c.now, key) != value {
		c.set[key] = value
	}
}

// keep leaves an annotation of the operator's as it was.
func (c *change) keep(key string) {
	was, is := annotation(c.old, key), annotation(c.now, key)
	if is != "" && is != was {
		c.warnings = append(c.warnings, fmt.Sprintf("metadata.annotations[%s]: the value is ignored: only the operator writes this annotation; remove it from the manifest", key))
	}
	c.write(key, was)
}

// generation that the API server gives the object: another one after each change of
// anything but metadata and status.
func (c *change) generation(old int64) int64 {
	if equality.Semantic.DeepEqual(content(c.old), content(c.now)) {
		return old
	}
	return old + 1
}

func content(o map[string]any) map[string]any {
	o = maps.Clone(o)
	delete(o, "metadata")
	delete(o, "status")
	return o
}

// agents returns the old agent, nil if it is new, and the new one. They are decoded from
// JSON: other conversions do not know the types that decode themselves.
func (c *change) agents() (old, now *v1alpha1.LambdaAgent, err error) {
	if c.old != nil {
		old = &v1alpha1.LambdaAgent{}
		if err := convert(c.old, old); err != nil {
			return nil, nil, err
		}
	}
	now = &v1alpha1.LambdaAgent{}
	return old, now, convert(c.now, now)
}

func convert(from map[string]any, to *v1alpha1.LambdaAgent) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, to)
}

// operation of a JSON patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// patch adds what is to be written to a patch.
func (c *change) patch(before []byte) ([]byte, error) {
	if len(c.set) == 0 {
		return before, nil
	}
	var all []json.RawMessage
	if len(bytes.TrimSpace(before)) > 0 {
		if err := json.Unmarshal(before, &all); err != nil {
			return nil, err
		}
	}
	var more []operation
	if annotationsOf(c.now) == nil {
		more = append(more, operation{Op: "add", Path: "/metadata/annotations", Value: map[string]string{}})
	}
	for _, key := range slices.Sorted(maps.Keys(c.set)) {
		o := operation{Op: "add", Path: "/metadata/annotations/" + strings.ReplaceAll(key, "/", "~1"), Value: c.set[key]}
		if c.set[key] == "" {
			o = operation{Op: "remove", Path: o.Path}
		}
		more = append(more, o)
	}
	for _, o := range more {
		text, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return json.Marshal(all)
}
