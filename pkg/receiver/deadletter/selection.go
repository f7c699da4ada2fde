package deadletter

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// maxSources that an error names.
const maxSources = 10

// Selection of dead letters: that of an event, by its id and source together, or all.
type Selection struct {
	// ID of the event. It is an error to set neither ID nor All, or both.
	ID string
	// Source of the event. It goes with ID, and is needed if events of several sources
	// have the ID.
	Source string
	// All dead letters of the owner.
	All bool
}

// ErrSelection reports a Selection that does not say which dead letters it is for.
var ErrSelection = httpapi.Errorf(http.StatusBadRequest, "InvalidData", "expected the id of a dead letter, or all; an empty id is neither")

func (s Selection) validate() error {
	switch {
	case (s.ID == "") != s.All:
		return ErrSelection
	case s.ID == "" && s.Source != "":
		return fmt.Errorf("%w: source goes with an id", ErrSelection)
	}
	return nil
}

func (s Selection) has(l *Letter) bool {
	return s.All || s.ID == l.ID() && (s.Source == "" || s.Source == l.Event.Source())
}

// ambiguous is the error of an id that dead letters of several sources have: events are
// identified by source and id together.
func ambiguous(id string, sources []string) error {
	quoted := make([]string, len(sources))
	for i, source := range sources {
		quoted[i] = strconv.Quote(source)
	}
	return httpapi.Errorf(http.StatusUnprocessableEntity, "Ambiguous",
		"dead letters of several sources have the id %q: name the source, too, as --source of kubectl lambda, "+
			"or as source of the API or a command; the sources are %s",
		id, strings.Join(quoted, ", "))
}

// identify returns the Selection with the source, if events of only one source have the
// id. The error is an *AmbiguousError if there are several.
func (s *Service) identify(ctx context.Context, owner Owner, which Selection) (Selection, error) {
	if which.All || which.Source != "" {
		return which, nil
	}
	sources := map[string]bool{}
	err := s.each(ctx, owner, func(_ Session, l *Letter) (bool, error) {
		if which.has(l) {
			sources[l.Event.Source()] = true
		}
		return len(sources) < maxSources, nil
	})
	found := slices.Sorted(maps.Keys(sources))
	switch {
	case err != nil:
		return which, err
	case len(found) > 1:
		return which, ambiguous(which.ID, found)
	case len(found) == 1:
		which.Source = found[0]
	}
	return which, nil
}
