package command

import (
	"errors"
	"net/http"

	apierrs "k8s.io/apimachinery/pkg/api/errors"

	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// refusalOf an error. What may pass by itself is 5xx, so that a broker sends the command
// again.
func refusalOf(err error) *httpapi.StatusError {
	var refusal *httpapi.StatusError
	var status apierrs.APIStatus
	switch {
	case errors.As(err, &refusal) && refusal.Reason == deadletter.ReasonNotReady:
		err = httpapi.Errorf(http.StatusServiceUnavailable, refusal.Reason, "%w", err)
	case refusal != nil:
	case errors.As(err, &status):
		err = ofStatus(status, err)
	default:
		err = httpapi.Errorf(http.StatusServiceUnavailable, "Unavailable", "%w", err)
	}
	errors.As(err, &refusal)
	return refusal
}

// ofStatus passes on what the API server said of a change.
func ofStatus(s apierrs.APIStatus, err error) error {
	switch code := int(s.Status().Code); {
	case apierrs.IsForbidden(err):
		return httpapi.Errorf(http.StatusForbidden, "Forbidden", "%v", err)
	case apierrs.IsNotFound(err):
		return httpapi.Errorf(http.StatusNotFound, "NotFound", "%v", err)
	case apierrs.IsConflict(err), apierrs.IsAlreadyExists(err):
		return httpapi.Errorf(http.StatusConflict, string(s.Status().Reason), "%v", err)
	case code == http.StatusBadRequest, code == http.StatusUnprocessableEntity:
		return httpapi.Errorf(http.StatusUnprocessableEntity, "Invalid", "%v", err)
	}
	return httpapi.Errorf(http.StatusServiceUnavailable, "Unavailable", "%v", err)
}
