// Package api serves dead letters to people: list, show, replay, purge, to those
// whom RBAC allows it.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/access"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

// kinds of owners by how they are in paths, and by what RBAC says who may do what with
// their dead letters.
var kinds = map[deadletter.Kind]struct {
	plural   string
	resource access.Resource
}{
	deadletter.KindFunction: {"functions", access.DeadLetters},
	deadletter.KindAgent:    {"agents", access.AgentDeadLetters},
}

// Path of an owner's dead letters.
func Path(o deadletter.Owner) string {
	return "/v1/namespaces/" + o.Namespace + "/" + kinds[o.Kind].plural + "/" + o.Name + "/deadletters"
}

// defaultListed is how many letters a list has where it is not said.
const defaultListed = 100

// Audit is told who did what.
type Audit func(ctx context.Context, user, action string, owner deadletter.Owner)

type handler struct {
	letters *deadletter.Service
	access  *access.Reviewer
	audit   Audit
}

// New returns a handler.
func New(letters *deadletter.Service, reviewer *access.Reviewer, audit Audit) http.Handler {
	h := &handler{letters: letters, access: reviewer, audit: audit}
	mux := http.NewServeMux()
	for kind := range kinds {
		pattern := Path(deadletter.Owner{Kind: kind, NamespacedName: types.NamespacedName{Namespace: "{namespace}", Name: "{name}"}})
		mux.HandleFunc("GET "+pattern, h.guarded(kind, "get", h.get))
		mux.HandleFunc("POST "+pattern+"/replay", h.guarded(kind, "update", h.replay))
		mux.HandleFunc("DELETE "+pattern, h.guarded(kind, "delete", h.purge))
	}
	return mux
}

// call is a request of somebody who may make it.
type call struct {
	*http.Request
	user  string
	owner deadletter.Owner
	// which is what the query selects; its zero value is nothing.
	which deadletter.Selection
}

// selected reads which dead letters a query is for. A parameter that is there and empty
// is an error: scripts pass variables that are not set.
func selected(query url.Values) (s deadletter.Selection, err error) {
	for name, to := range map[string]*string{"id": &s.ID, "source": &s.Source} {
		values, there := query[name]
		if *to = query.Get(name); there && (len(values) != 1 || *to == "") {
			return s, &requestError{name + ": expected one value that is not empty"}
		}
	}
	if text, there := query["all"]; there {
		if len(text) != 1 || text[0] != "true" {
			return s, &requestError{"all: expected true"}
		}
		s.All = true
	}
	return s, nil
}

func (h *handler) guarded(kind deadletter.Kind, verb string, serve func(http.ResponseWriter, *call) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := &call{Request: r, owner: deadletter.Owner{Kind: kind, NamespacedName: types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}}}
		var selection error
		c.which, selection = selected(r.URL.Query())
		user, err := h.access.User(r)
		if err == nil {
			c.user = user.Username
			err = h.access.Allowed(r.Context(), user, kinds[kind].resource, verb, c.owner.Namespace, c.owner.Name)
		}
		if err == nil {
			err = selection
		}
		if err == nil {
			err = serve(w, c)
		}
		if err != nil {
			fail(w, r, err)
		}
	}
}

// Problem is the body of an answer that is an error.
type Problem struct {
	Error string `json:"error"`
}

func fail(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	if status == http.StatusInternalServerError {
		slog.ErrorContext(r.Context(), "a request failed", "path", r.URL.Path, "error", err)
	}
	writeJSON(w, status, Problem{err.Error()})
}

func statusOf(err error) int {
	var unauthenticated *access.UnauthenticatedError
	var forbidden *access.ForbiddenError
	var notReady *deadletter.NotReadyError
	var request *requestError
	var invalid *access.InvalidNameError
	var ambiguous *deadletter.AmbiguousError
	switch {
	case errors.As(err, &unauthenticated):
		return http.StatusUnauthorized
	case errors.As(err, &forbidden):
		return http.StatusForbidden
	case errors.Is(err, deadletter.ErrNoQueue), errors.Is(err, errNoLetter), apierrs.IsNotFound(err):
		return http.StatusNotFound
	case errors.Is(err, deadletter.ErrBusy), errors.As(err, &notReady), errors.As(err, &ambiguous):
		return http.StatusConflict
	case errors.As(err, &request), errors.As(err, &invalid), errors.Is(err, deadletter.ErrSelection):
		return http.StatusBadRequest
	case errors.Is(err, deadletter.ErrUnavailable):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

var errNoLetter = errors.New("there is no dead letter of that id and source")

// requestError is a query that is wrong.
type requestError struct{ message string }

func (e *requestError) Error() string { return e.message }

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client went away
}

// List is the answer to a list.
type List struct {
	Items []events.DeadLetter `json:"items"`
}

// Shown is one letter with its event, in CloudEvents' JSON format where it is one.
type Shown struct {
	events.DeadLetter
	Event json.RawMessage `json:"event,omitempty"`
	Raw   []byte          `json:"raw,omitempty"`
}

// ShownList is the answer where an id is asked for.
type ShownList struct {
	Items []Shown `json:"items"`
}

func (h *handler) get(w http.ResponseWriter, c *call) error {
	if c.which != (deadletter.Selection{}) {
		return h.show(w, c)
	}
	limit := defaultListed
	if text := c.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > deadletter.MaxListed {
			return &requestError{"limit: expected a whole number from 1 to " + strconv.Itoa(deadletter.MaxListed)}
		}
		limit = n
	}
	listed, err := h.letters.List(c.Context(), c.owner, limit)
	if err != nil {
		return err
	}
	h.audit(c.Context(), c.user, "listed", c.owner)
	writeJSON(w, http.StatusOK, List{listed})
	return nil
}

func (h *handler) show(w http.ResponseWriter, c *call) error {
	found, err := h.letters.Show(c.Context(), c.owner, c.which)
	switch {
	case err != nil:
		return err
	case len(found) == 0:
		return errNoLetter
	}
	var list ShownList
	for _, l := range found {
		shown := Shown{DeadLetter: l.Describe()}
		if l.Malformed != nil {
			shown.Raw = l.Event.Data()
		} else if shown.Event, err = l.Event.MarshalJSON(); err != nil {
			return err
		}
		list.Items = append(list.Items, shown)
	}
	h.audit(c.Context(), c.user, "shown", c.owner)
	writeJSON(w, http.StatusOK, list)
	return nil
}

// Line of a replay's answer, which is one of these a line, as it goes: a Result for
// each letter, and an Error where the replay itself broke off.
type Line struct {
	*deadletter.Result
	Problem string `json:"problem,omitempty"`
}

// replay tells of each letter as soon as it is sent, so that somebody can watch.
func (h *handler) replay(w http.ResponseWriter, c *call) error {
	begun := false
	encoder := json.NewEncoder(w)
	write := func(line Line) {
		if !begun {
			begun = true
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.WriteHeader(http.StatusOK)
		}
		_ = encoder.Encode(line) // the client went away: its context ends the replay
		_ = http.NewResponseController(w).Flush()
	}
	h.audit(c.Context(), c.user, "replayed", c.owner)
	err := h.letters.Replay(c.Context(), c.owner, c.which, func(r deadletter.Result) { write(Line{Result: &r}) })
	switch {
	case err != nil && begun:
		write(Line{Problem: err.Error()})
	case err != nil:
		return err
	case !begun && !c.which.All:
		return errNoLetter
	case !begun:
		w.Header().Set("Content-Type", "application/x-ndjson")
	}
	return nil
}

// Purged is the answer to a purge.
type Purged struct {
	Purged int `json:"purged"`
}

func (h *handler) purge(w http.ResponseWriter, c *call) error {
	n, err := h.letters.Purge(c.Context(), c.owner, c.which)
	if n > 0 {
		h.audit(c.Context(), c.user, "purged", c.owner)
	}
	switch {
	case err != nil:
		return err
	case n == 0 && !c.which.All:
		return errNoLetter
	}
	writeJSON(w, http.StatusOK, Purged{n})
	return nil
}
