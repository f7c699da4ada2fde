// Package api serves dead letters: list, show, replay and purge, by what RBAC allows.
package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"k8s.io/apimachinery/pkg/types"

	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/access"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// resources by which RBAC says who may do what with the dead letters of an owner.
var resources = map[deadletter.Kind]access.Resource{
	deadletter.KindFunction: access.DeadLetters,
	deadletter.KindAgent:    access.AgentDeadLetters,
}

// defaultListed is the number of dead letters in a list without receiverv1.ParamLimit.
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
	for kind := range resources {
		path := receiverv1.DeadLettersPath(kind, "{namespace}", "{name}")
		mux.HandleFunc("GET "+path, h.authorized(kind, "get", h.get))
		mux.HandleFunc("POST "+receiverv1.ReplayPath(kind, "{namespace}", "{name}"), h.authorized(kind, "update", h.replay))
		mux.HandleFunc("DELETE "+path, h.authorized(kind, "delete", h.purge))
	}
	return mux
}

// call is an authorized request.
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
	for name, to := range map[string]*string{receiverv1.ParamID: &s.ID, receiverv1.ParamSource: &s.Source} {
		values, there := query[name]
		if *to = query.Get(name); there && (len(values) != 1 || *to == "") {
			return s, invalid("%s: expected one value that is not empty", name)
		}
	}
	if text, there := query[receiverv1.ParamAll]; there {
		if len(text) != 1 || text[0] != "true" {
			return s, invalid("%s: expected true", receiverv1.ParamAll)
		}
		s.All = true
	}
	return s, nil
}

func (h *handler) authorized(kind deadletter.Kind, verb string, serve func(http.ResponseWriter, *call) error) http.HandlerFunc {
	return httpapi.Handle(func(w http.ResponseWriter, r *http.Request) error {
		user, err := h.access.Authorize(r, resources[kind], verb)
		if err != nil {
			return err
		}
		which, err := selected(r.URL.Query())
		if err != nil {
			return err
		}
		owner := deadletter.Owner{Kind: kind, NamespacedName: types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}}
		return serve(w, &call{Request: r, user: user.Username, owner: owner, which: which})
	})
}

// invalid is the error of a query.
func invalid(format string, args ...any) error {
	return httpapi.Errorf(http.StatusBadRequest, "InvalidRequest", format, args...)
}

var errNoDeadLetter = httpapi.Errorf(http.StatusNotFound, "NotFound", "there is no dead letter of that id and source")

func (h *handler) get(w http.ResponseWriter, c *call) error {
	if c.which != (deadletter.Selection{}) {
		return h.show(w, c)
	}
	limit := defaultListed
	if text := c.URL.Query().Get(receiverv1.ParamLimit); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > receiverv1.MaxListed {
			return invalid("%s: expected a whole number from 1 to %d", receiverv1.ParamLimit, receiverv1.MaxListed)
		}
		limit = n
	}
	listed, err := h.letters.List(c.Context(), c.owner, limit)
	if err != nil {
		return err
	}
	h.audit(c.Context(), c.user, "listed", c.owner)
	httpapi.WriteJSON(w, http.StatusOK, receiverv1.DeadLetterList{Items: listed})
	return nil
}

func (h *handler) show(w http.ResponseWriter, c *call) error {
	found, err := h.letters.Show(c.Context(), c.owner, c.which)
	switch {
	case err != nil:
		return err
	case len(found) == 0:
		return errNoDeadLetter
	}
	var list receiverv1.ShownDeadLetterList
	for _, l := range found {
		shown := receiverv1.ShownDeadLetter{DeadLetter: l.Describe()}
		if l.Malformed != nil {
			shown.Raw = l.Event.Data()
		} else if shown.Event, err = l.Event.MarshalJSON(); err != nil {
			return err
		}
		list.Items = append(list.Items, shown)
	}
	h.audit(c.Context(), c.user, "shown", c.owner)
	httpapi.WriteJSON(w, http.StatusOK, list)
	return nil
}

// replay reports each dead letter as soon as it is sent, a receiverv1.ReplayLine each.
func (h *handler) replay(w http.ResponseWriter, c *call) error {
	begun := false
	encoder := json.NewEncoder(w)
	write := func(line receiverv1.ReplayLine) {
		if !begun {
			begun = true
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.WriteHeader(http.StatusOK)
		}
		_ = encoder.Encode(line) // the client went away: its context ends the replay
		_ = http.NewResponseController(w).Flush()
	}
	h.audit(c.Context(), c.user, "replayed", c.owner)
	err := h.letters.Replay(c.Context(), c.owner, c.which, func(r receiverv1.ReplayResult) { write(receiverv1.ReplayLine{ReplayResult: &r}) })
	switch {
	case err != nil && begun:
		write(receiverv1.ReplayLine{Problem: err.Error()})
	case err != nil:
		return err
	case !begun && !c.which.All:
		return errNoDeadLetter
	case !begun:
		w.Header().Set("Content-Type", "application/x-ndjson")
	}
	return nil
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
		return errNoDeadLetter
	}
	httpapi.WriteJSON(w, http.StatusOK, receiverv1.Purged{Purged: n})
	return nil
}
