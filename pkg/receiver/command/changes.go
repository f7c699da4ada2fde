package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/ptr"
	"knative.dev/serving/pkg/apis/serving"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// FieldManager is as what commands change functions.
const FieldManager = "lambda-commands"

// change is a command that is being carried out, with the rights of its namespace.
type change struct {
	clients
	key       string // of the command
	id        string // of the event
	namespace string
	name      string
}

// result of a change that was made.
func result(f *v1alpha1.LambdaFunction, format string, args ...any) *events.CommandResult {
	r := &events.CommandResult{Message: fmt.Sprintf(format, args...)}
	if f != nil {
		r.UID, r.Generation = string(f.UID), f.Generation
	}
	return r
}

// current is the function; nil where there is none.
func (c *change) current(ctx context.Context) (*v1alpha1.LambdaFunction, error) {
	f, err := c.lambda.LambdaV1alpha1().LambdaFunctions(c.namespace).Get(ctx, c.name, metav1.GetOptions{})
	if apierrs.IsNotFound(err) {
		return nil, nil
	}
	return f, err
}

// existing is the function, an error where there is none.
func (c *change) existing(f *v1alpha1.LambdaFunction) error {
	if f == nil {
		return httpapi.Errorf(http.StatusNotFound, "NotFound", "there is no LambdaFunction %s/%s", c.namespace, c.name)
	}
	return nil
}

// deploy applies the spec by server-side apply.
func (c *change) deploy(ctx context.Context, f *v1alpha1.LambdaFunction, d *events.FunctionDeploy) (*events.CommandResult, error) {
	metadata := map[string]any{"name": c.name, "namespace": c.namespace}
	annotations := map[string]string{}
	for k, v := range d.Annotations {
		annotations[k] = v
	}
	annotations[lambda.CommandsAnnotationKey] = with(object(f), c.key)
	metadata["annotations"] = annotations
	if len(d.Labels) > 0 {
		metadata["labels"] = d.Labels
	}
	verb := "created"
	if f != nil {
		verb, metadata["resourceVersion"] = "changed", f.ResourceVersion
	}
	manifest, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.SchemeGroupVersion.String(), "kind": "LambdaFunction", "metadata": metadata, "spec": d.Spec,
	})
	if err != nil {
		return nil, err
	}
	apply := func(force bool) (*v1alpha1.LambdaFunction, error) {
		return c.lambda.LambdaV1alpha1().LambdaFunctions(c.namespace).Patch(ctx, c.name, types.ApplyPatchType, manifest,
			metav1.PatchOptions{FieldManager: FieldManager, Force: &force, FieldValidation: metav1.FieldValidationStrict})
	}
	applied, err := apply(d.Force)
	if onlyOwnConflicts(err) {
		applied, err = apply(true)
	}
	if err != nil {
		return nil, err
	}
	return result(applied, "LambdaFunction %s/%s is %s", c.namespace, c.name, verb), nil
}

// object avoids an interface that holds a nil pointer.
func object(f *v1alpha1.LambdaFunction) metav1.Object {
	if f == nil {
		return nil
	}
	return f
}

// onlyOwnConflicts reports whether an apply is in conflict only with what other
// commands have changed: they are all the same manager's, which Kubernetes keeps
// apart by the way of the change.
func onlyOwnConflicts(err error) bool {
	status, ok := err.(apierrs.APIStatus)
	if !ok || !apierrs.IsConflict(err) || status.Status().Details == nil {
		return false
	}
	causes := status.Status().Details.Causes
	return len(causes) > 0 && !slices.ContainsFunc(causes, func(cause metav1.StatusCause) bool {
		return cause.Type != metav1.CauseTypeFieldManagerConflict || !strings.Contains(cause.Message, `"`+FieldManager+`"`)
	})
}

// patch changes the spec and the annotations of the function as it was read.
func (c *change) patch(ctx context.Context, f *v1alpha1.LambdaFunction, spec map[string]any, annotations map[string]string) (*v1alpha1.LambdaFunction, error) {
	all := map[string]string{lambda.CommandsAnnotationKey: with(f, c.key)}
	for k, v := range annotations {
		all[k] = v
	}
	body := map[string]any{"metadata": map[string]any{"resourceVersion": f.ResourceVersion, "annotations": all}}
	if len(spec) > 0 {
		body["spec"] = spec
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return c.lambda.LambdaV1alpha1().LambdaFunctions(c.namespace).Patch(ctx, c.name, types.MergePatchType, text,
		metav1.PatchOptions{FieldManager: FieldManager, FieldValidation: metav1.FieldValidationStrict})
}

func (c *change) rollback(ctx context.Context, f *v1alpha1.LambdaFunction, d *events.FunctionRollback) (*events.CommandResult, error) {
	revision := d.Revision
	if revision == "" {
		var err error
		if revision, err = c.earlier(ctx, f); err != nil {
			return nil, err
		}
	}
	traffic := []servingv1.TrafficTarget{{RevisionName: revision, Percent: ptr.Int64(100), LatestRevision: ptr.Bool(false)}}
	changed, err := c.patch(ctx, f, map[string]any{"traffic": traffic}, nil)
	if err != nil {
		return nil, err
	}
	return result(changed, "all traffic of %s/%s goes to revision %s", c.namespace, c.name, revision), nil
}

// earlier is the newest revision that is ready, of those before the one that gets
// most of the traffic.
func (c *change) earlier(ctx context.Context, f *v1alpha1.LambdaFunction) (string, error) {
	list, err := c.serving.ServingV1().Revisions(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: serving.ServiceLabelKey + "=" + c.name})
	if err != nil {
		return "", err
	}
	revisions := list.Items
	sort.Slice(revisions, func(i, j int) bool { return revisions[j].CreationTimestamp.Before(&revisions[i].CreationTimestamp) })
	serves, most := f.Status.LatestReadyRevisionName, int64(-1)
	for _, t := range f.Status.Traffic {
		if t.Percent != nil && *t.Percent > most {
			serves, most = t.RevisionName, *t.Percent
		}
	}
	at := slices.IndexFunc(revisions, func(r servingv1.Revision) bool { return r.Name == serves })
	for i := at + 1; at >= 0 && i < len(revisions); i++ {
		// A revision that has scaled to zero is not active, and serves when it is asked to.
		if c := revisions[i].Status.GetCondition(apis.ConditionReady); c.IsTrue() {
			return revisions[i].Name, nil
		}
	}
	return "", httpapi.Errorf(http.StatusConflict, "NoEarlierRevision", "function %s/%s has no ready revision before %q", c.namespace, c.name, serves)
}

func (c *change) remove(ctx context.Context, f *v1alpha1.LambdaFunction) (*events.CommandResult, error) {
	err := c.lambda.LambdaV1alpha1().LambdaFunctions(c.namespace).Delete(ctx, c.name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(f.UID))})
	if err != nil && !apierrs.IsNotFound(err) {
		return nil, err
	}
	return result(f, "LambdaFunction %s/%s is deleted", c.namespace, c.name), nil
}

func (c *change) removeService(ctx context.Context, f *v1alpha1.LambdaFunction) (*events.CommandResult, error) {
	if f.Spec.Source.Image == nil {
		return nil, httpapi.Errorf(http.StatusConflict, "NotAnImage", "the source of function %s/%s is no image: delete it with %s", c.namespace, c.name, events.CommandFunctionDelete)
	}
	return c.remove(ctx, f)
}

func (c *change) build(ctx context.Context, f *v1alpha1.LambdaFunction, onlyFailed bool) (*events.CommandResult, error) {
	switch b := f.Status.Build; {
	case f.Spec.Source.Image != nil:
		return nil, httpapi.Errorf(http.StatusConflict, "NothingToBuild", "the source of function %s/%s is an image: nothing is built", c.namespace, c.name)
	case onlyFailed && (b == nil || b.Failure == nil):
		return nil, httpapi.Errorf(http.StatusConflict, "NothingFailed", "no build of function %s/%s has failed", c.namespace, c.name)
	}
	changed, err := c.patch(ctx, f, nil, map[string]string{lambda.RebuildAnnotationKey: c.id})
	if err != nil {
		return nil, err
	}
	return result(changed, "function %s/%s is built again", c.namespace, c.name), nil
}

func (c *change) cancelBuild(ctx context.Context, f *v1alpha1.LambdaFunction) (*events.CommandResult, error) {
	b := f.Status.Build
	if f.Status.ObservedGeneration != f.Generation || b == nil || b.Reference == "" {
		return nil, httpapi.Errorf(http.StatusServiceUnavailable, "NotObserved", "the newest spec of function %s/%s has not been looked at yet", c.namespace, c.name)
	}
	if b.Image != "" || b.Failure != nil && !b.Failure.Retryable {
		return nil, httpapi.Errorf(http.StatusConflict, "NothingToCancel", "no build of function %s/%s runs or waits", c.namespace, c.name)
	}
	tag := b.Reference[strings.LastIndexByte(b.Reference, ':')+1:]
	changed, err := c.patch(ctx, f, nil, map[string]string{lambda.CancelBuildAnnotationKey: tag})
	if err != nil {
		return nil, err
	}
	return result(changed, "the build of %s is cancelled", b.Reference), nil
}

// createService makes a function from an image. It must not be there.
func (c *change) createService(ctx context.Context, f *v1alpha1.LambdaFunction, d *events.ServiceCreate) (*events.CommandResult, error) {
	if f != nil {
		return nil, httpapi.Errorf(http.StatusConflict, "AlreadyExists", "there is a LambdaFunction %s/%s: change it with %s", c.namespace, c.name, events.CommandServiceUpdate)
	}
	if err := serviceFields(d.Spec); err != nil {
		return nil, err
	}
	text, err := json.Marshal(d.Spec)
	if err != nil {
		return nil, err
	}
	f = &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: c.name, Annotations: map[string]string{lambda.CommandsAnnotationKey: c.key}}}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f.Spec); err != nil {
		return nil, httpapi.Errorf(http.StatusUnprocessableEntity, "Invalid", "spec: %v", err)
	}
	f.Spec.Source.Image = &v1alpha1.ImageSource{ImageReference: imageOf(d.Image)}
	if d.Port != 0 {
		f.Spec.Source.Image.Port = d.Port
	}
	created, err := c.lambda.LambdaV1alpha1().LambdaFunctions(c.namespace).Create(ctx, f, metav1.CreateOptions{FieldManager: FieldManager, FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		return nil, err
	}
	return result(created, "LambdaFunction %s/%s is created from %s", c.namespace, c.name, d.Image), nil
}

func (c *change) updateService(ctx context.Context, f *v1alpha1.LambdaFunction, d *events.ServiceUpdate) (*events.CommandResult, error) {
	if err := serviceFields(d.Spec); err != nil {
		return nil, err
	}
	spec := map[string]any{}
	for k, v := range d.Spec {
		spec[k] = v
	}
	if d.Image != "" {
		if f.Spec.Source.Image == nil {
			return nil, httpapi.Errorf(http.StatusConflict, "NotAnImage", "the source of function %s/%s is no image: change it with %s", c.namespace, c.name, events.CommandFunctionDeploy)
		}
		i := imageOf(d.Image)
		image := map[string]any{"repository": i.Repository, "tag": nil, "digest": nil}
		if i.Digest != "" {
			image["digest"] = i.Digest
		} else if i.Tag != "" {
			image["tag"] = i.Tag
		}
		spec["source"] = map[string]any{"image": image}
	}
	if len(spec) == 0 {
		return nil, httpapi.Errorf(http.StatusBadRequest, "InvalidData", "data: expected image, spec or both")
	}
	changed, err := c.patch(ctx, f, spec, nil)
	if err != nil {
		return nil, err
	}
	return result(changed, "LambdaFunction %s/%s is changed", c.namespace, c.name), nil
}

// serviceFields refuses what makes an image: the service commands are about how
// one runs.
func serviceFields(spec map[string]any) error {
	for _, field := range []string{"source", "runtime", "build"} {
		if _, has := spec[field]; has {
			return httpapi.Errorf(http.StatusBadRequest, "InvalidData", "data.spec.%s: not of a service: use %s", field, events.CommandFunctionDeploy)
		}
	}
	return nil
}

// imageOf takes an image reference apart; what is wrong with it, admission says.
func imageOf(reference string) v1alpha1.ImageReference {
	repository, digest, _ := strings.Cut(reference, "@")
	i := v1alpha1.ImageReference{Repository: repository, Digest: digest}
	if at := strings.LastIndexByte(repository, ':'); at > strings.LastIndexByte(repository, '/') {
		i.Repository, i.Tag = repository[:at], repository[at+1:]
	}
	return i
}
