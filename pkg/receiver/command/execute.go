package command

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/cloudevents/sdk-go/v2/event"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	servingclientset "knative.dev/serving/pkg/client/clientset/versioned"

	"github.com/brunovlucena/knative-lambda-operator/internal/quantity"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	lambdaclientset "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/access"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// clients with the rights of a namespace.
type clients struct {
	lambda  lambdaclientset.Interface
	serving servingclientset.Interface
}

// Impersonating returns clients that act as the namespace's ServiceAccount for
// commands, so that the API server itself decides what a command may do.
func Impersonating(cfg *rest.Config) func(namespace string) (lambdaclientset.Interface, servingclientset.Interface, error) {
	return func(namespace string) (lambdaclientset.Interface, servingclientset.Interface, error) {
		as := rest.CopyConfig(cfg)
		as.Impersonate = rest.ImpersonationConfig{UserName: ServiceAccount(namespace)}
		l, err := lambdaclientset.NewForConfig(as)
		if err != nil {
			return nil, nil, err
		}
		s, err := servingclientset.NewForConfig(as)
		return l, s, err
	}
}

// command is an event that a namespace lets in.
type command struct {
	event.Event
	kind   string // what its type stands for
	target types.NamespacedName
}

// decode reads the data of a command, which its schema allows.
func decode[T any](c *command) (*T, error) {
	t := new(T)
	if len(c.Data()) == 0 {
		return t, nil
	}
	if err := quantity.Check(c.Data()); err != nil {
		return nil, httpapi.Errorf(http.StatusBadRequest, "InvalidData", "data: %v", err)
	}
	if err := json.Unmarshal(c.Data(), t); err != nil {
		return nil, httpapi.Errorf(http.StatusBadRequest, "InvalidData", "data: %v", err)
	}
	return t, nil
}

// execute carries a command out. It returns nil where it had been before.
func (h *Handler) execute(ctx context.Context, c *command) (*events.CommandResult, error) {
	switch c.kind {
	case events.CommandDeadLetterList, events.CommandDeadLetterReplay, events.CommandDeadLetterPurge:
		return h.deadLetters(ctx, c)
	}
	lambda, serving, err := h.Clients(c.target.Namespace)
	if err != nil {
		return nil, err
	}
	ch := &change{clients: clients{lambda, serving}, key: httpapi.EventKey(&c.Event), id: c.ID(), namespace: c.target.Namespace, name: c.target.Name}
	var r *events.CommandResult
	err = retry.OnError(retry.DefaultRetry, changedMeanwhile, func() error {
		f, err := ch.current(ctx)
		if err != nil {
			return err
		}
		if f != nil && carriedOut(f, ch.key) {
			r = result(f, "%s of %s had been carried out before", c.kind, c.target)
			return nil
		}
		r, err = ch.make(ctx, c, f)
		return err
	})
	return r, err
}

// changedMeanwhile reports whether somebody else changed the function between
// reading and writing it.
func changedMeanwhile(err error) bool {
	return apierrs.IsAlreadyExists(err) || apierrs.IsConflict(err) && !apierrs.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict)
}

func (c *change) make(ctx context.Context, cmd *command, f *v1alpha1.LambdaFunction) (*events.CommandResult, error) {
	switch cmd.kind {
	case events.CommandFunctionDeploy:
		return decoded(cmd, func(d *events.FunctionDeploy) (*events.CommandResult, error) { return c.deploy(ctx, f, d) })
	case events.CommandServiceCreate:
		return decoded(cmd, func(d *events.ServiceCreate) (*events.CommandResult, error) { return c.createService(ctx, f, d) })
	case events.CommandFunctionDelete, events.CommandServiceDelete:
		if f == nil {
			return result(nil, "there is no LambdaFunction %s", cmd.target), nil
		}
	}
	if err := c.existing(f); err != nil {
		return nil, err
	}
	switch cmd.kind {
	case events.CommandFunctionRollback:
		return decoded(cmd, func(d *events.FunctionRollback) (*events.CommandResult, error) { return c.rollback(ctx, f, d) })
	case events.CommandFunctionDelete:
		return c.remove(ctx, f)
	case events.CommandBuildStart:
		return c.build(ctx, f, false)
	case events.CommandBuildRetry:
		return c.build(ctx, f, true)
	case events.CommandBuildCancel:
		return c.cancelBuild(ctx, f)
	case events.CommandServiceUpdate:
		return decoded(cmd, func(d *events.ServiceUpdate) (*events.CommandResult, error) { return c.updateService(ctx, f, d) })
	case events.CommandServiceDelete:
		return c.removeService(ctx, f)
	}
	return nil, fmt.Errorf("nothing carries out %s", cmd.kind)
}

// decoded decodes the data for what makes the change.
func decoded[T any](cmd *command, do func(*T) (*events.CommandResult, error)) (*events.CommandResult, error) {
	d, err := decode[T](cmd)
	if err != nil {
		return nil, err
	}
	return do(d)
}

// deadLetters carries out the commands on dead letters, if the namespace's
// ServiceAccount for commands may.
func (h *Handler) deadLetters(ctx context.Context, c *command) (*events.CommandResult, error) {
	verb := map[string]string{events.CommandDeadLetterList: "get", events.CommandDeadLetterReplay: "update", events.CommandDeadLetterPurge: "delete"}[c.kind]
	user := &authenticationv1.UserInfo{Username: ServiceAccount(c.target.Namespace),
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + c.target.Namespace, "system:authenticated"}}
	if err := h.Access.Allowed(ctx, user, access.DeadLetters, verb, c.target.Namespace, c.target.Name); err != nil {
		return nil, err
	}
	if c.kind == events.CommandDeadLetterList {
		return decoded(c, func(d *events.DeadLetterList) (*events.CommandResult, error) { return h.listLetters(ctx, c, d.Limit) })
	}
	return decoded(c, func(d *events.DeadLetterReplay) (*events.CommandResult, error) {
		which := deadletter.Selection{ID: d.ID, Source: d.Source, All: d.All}
		if c.kind == events.CommandDeadLetterReplay {
			return h.replayLetters(ctx, c, which)
		}
		return h.purgeLetters(ctx, c, which)
	})
}

func (h *Handler) listLetters(ctx context.Context, c *command, limit int) (*events.CommandResult, error) {
	const byDefault = 100
	switch {
	case limit == 0:
		limit = byDefault
	case limit < 0 || limit > receiverv1.MaxListed:
		return nil, httpapi.Errorf(http.StatusBadRequest, "InvalidData", "data.limit: expected 1 to %d", receiverv1.MaxListed)
	}
	letters, err := h.Letters.List(ctx, deadletter.Function(c.target), limit)
	if err != nil {
		return nil, err
	}
	r := result(nil, "%d dead letters are listed", len(letters))
	for _, l := range letters {
		r.Letters = append(r.Letters, events.DeadLetter(l))
	}
	return r, nil
}

func (h *Handler) replayLetters(ctx context.Context, c *command, which deadletter.Selection) (*events.CommandResult, error) {
	r := &events.CommandResult{}
	err := h.Letters.Replay(ctx, deadletter.Function(c.target), which, func(one receiverv1.ReplayResult) {
		if one.Error == "" {
			r.Replayed++
		} else {
			r.Failed++
		}
	})
	if err != nil {
		return nil, err
	}
	if r.Replayed+r.Failed == 0 && !which.All {
		return nil, httpapi.Errorf(http.StatusNotFound, "NotFound", "there is no dead letter %q of %s", which.ID, c.target)
	}
	r.Message = fmt.Sprintf("%d dead letters are delivered, %d stay", r.Replayed, r.Failed)
	return r, nil
}

func (h *Handler) purgeLetters(ctx context.Context, c *command, which deadletter.Selection) (*events.CommandResult, error) {
	n, err := h.Letters.Purge(ctx, deadletter.Function(c.target), which)
	switch {
	case err != nil:
		return nil, err
	case n == 0 && !which.All:
		return nil, httpapi.Errorf(http.StatusNotFound, "NotFound", "there is no dead letter %q of %s", which.ID, c.target)
	}
	r := result(nil, "%d dead letters are removed", n)
	r.Purged = n
	return r, nil
}
