package command

import (
	"errors"
	"fmt"
	"net/http"

	apierrs "k8s.io/apimachinery/pkg/api/errors"

	"github.com/brunovlucena/knative-lambda-operator/internal/httpserver"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/access"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

// refusal is why a command is not carried out: what its sender is told.
type refusal struct {
	status int
	data   events.Error
}

func (r *refusal) Error() string { return r.data.Type + ": " + r.data.Message }

func refuse(status int, kind, format string, args ...any) error {
	return &refusal{status, events.Error{Type: kind, Message: fmt.Sprintf(format, args...), Permanent: status < http.StatusInternalServerError}}
}

// refusalOf tells what an error means for the sender. What may pass by itself is
// 5xx, so that a broker sends the command again.
func refusalOf(err error) *refusal {
	var r *refusal
	var status apierrs.APIStatus
	var forbidden *access.ForbiddenError
	var notReady *deadletter.NotReadyError
	var event *httpserver.EventError
	var invalid *access.InvalidNameError
	var ambiguous *deadletter.AmbiguousError
	switch {
	case errors.As(err, &r):
		return r
	case errors.As(err, &event):
		err = refuse(event.Status, "InvalidRequest", "%v", err)
	case errors.As(err, &invalid):
		err = refuse(http.StatusBadRequest, "InvalidData", "%v", err)
	case errors.As(err, &forbidden):
		err = refuse(http.StatusForbidden, "Forbidden", "%v", err)
	case errors.Is(err, deadletter.ErrNoQueue):
		err = refuse(http.StatusNotFound, "NotFound", "%v", err)
	case errors.Is(err, deadletter.ErrSelection):
		err = refuse(http.StatusBadRequest, "InvalidData", "data: %v", err)
	case errors.As(err, &ambiguous):
		err = refuse(http.StatusConflict, "Ambiguous", "%v", err)
	case errors.As(err, &notReady), errors.Is(err, deadletter.ErrBusy):
		err = refuse(http.StatusServiceUnavailable, "NotReady", "%v", err)
	case errors.As(err, &status):
		err = ofStatus(status, err)
	default:
		err = refuse(http.StatusServiceUnavailable, "Unavailable", "%v", err)
	}
	errors.As(err, &r)
	return r
}

// ofStatus passes on what the API server said of a change.
func ofStatus(s apierrs.APIStatus, err error) error {
	switch code := int(s.Status().Code); {
	case apierrs.IsForbidden(err):
		return refuse(http.StatusForbidden, "Forbidden", "%v", err)
	case apierrs.IsNotFound(err):
		return refuse(http.StatusNotFound, "NotFound", "%v", err)
	case apierrs.IsConflict(err), apierrs.IsAlreadyExists(err):
		return refuse(http.StatusConflict, string(s.Status().Reason), "%v", err)
	case code == http.StatusBadRequest, code == http.StatusUnprocessableEntity:
		return refuse(http.StatusUnprocessableEntity, "Invalid", "%v", err)
	}
	return refuse(http.StatusServiceUnavailable, "Unavailable", "%v", err)
}
