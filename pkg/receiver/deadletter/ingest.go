package deadletter

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

const (
	// Path below which dead letters are posted: Path + <namespace>/<function>, or
	// Path + <namespace>/agents/<agent>.
	Path = events.DeadLettersPath
	// maxLetter bounds the data of a letter, and maxAtOnce how many are in memory.
	maxLetter = 16 << 20
	maxAtOnce = 8
	// publishTimeout is how long RabbitMQ may take to have a letter.
	publishTimeout = 20 * time.Second
)

// Ingest takes events that a broker could not deliver and puts each into the queue
// of its owner, unless RabbitMQ has done so. It answers 2xx only after the queue
// has it; anything else lets the broker keep it and try again.
type Ingest struct {
	Store     Store
	Functions Functions
	Agents    Agents
	// Bound tells whether RabbitMQ has put a letter into the queue already, as the
	// binding of that name does.
	Bound func(ctx context.Context, namespace, binding, queue string) bool
	// Observe is told how each letter fared.
	Observe func(ctx context.Context, outcome string)

	slots chan struct{}
}

// NewIngest returns a handler for Path.
func NewIngest(store Store, functions Functions, agents Agents, bound func(ctx context.Context, namespace, binding, queue string) bool, observe func(context.Context, string)) *Ingest {
	return &Ingest{Store: store, Functions: functions, Agents: agents, Bound: bound, Observe: observe, slots: make(chan struct{}, maxAtOnce)}
}

// ServeHTTP implements http.Handler.
func (i *Ingest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, message := i.serve(w, r)
	outcome := "stored"
	switch {
	case message != "":
		outcome = strings.ToLower(strings.ReplaceAll(http.StatusText(status), " ", "_"))
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, message, status)
	case status == http.StatusOK:
		outcome = "bound"
	default:
		w.WriteHeader(status)
	}
	i.Observe(r.Context(), outcome)
}

func (i *Ingest) serve(w http.ResponseWriter, r *http.Request) (int, string) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return http.StatusMethodNotAllowed, "expected POST"
	}
	owner, err := ownerOf(strings.TrimPrefix(r.URL.Path, Path))
	if err != nil {
		return http.StatusNotFound, err.Error()
	}
	select {
	case i.slots <- struct{}{}:
		defer func() { <-i.slots }()
	case <-r.Context().Done():
		return http.StatusServiceUnavailable, "too many dead letters at once"
	}
	queue := owner.Queue()
	if name := r.URL.Query().Get(events.BindingQuery); name != "" && i.Bound(r.Context(), owner.Namespace, name, queue) {
		return http.StatusOK, ""
	}
	e, status, message := readEvent(w, r)
	if message != "" {
		return status, message
	}
	if gone := r.URL.Query().Get(events.GoneQuery); gone != "" {
		Gone(e, gone)
	}
	Annotate(e, retriesOf(owner, i.Functions, i.Agents), time.Now())
	ctx, cancel := context.WithTimeout(r.Context(), publishTimeout)
	defer cancel()
	if err := i.Store.Publish(ctx, queue, e); err != nil {
		return http.StatusServiceUnavailable, err.Error()
	}
	return http.StatusAccepted, ""
}

func ownerOf(path string) (Owner, error) {
	o := Owner{Kind: KindFunction}
	var ok bool
	if o.Namespace, o.Name, ok = strings.Cut(path, "/"); ok {
		if agent, is := strings.CutPrefix(o.Name, events.AgentsPath); is {
			o.Kind, o.Name = KindAgent, agent
		}
	}
	if !ok || len(validation.IsDNS1123Label(o.Namespace)) > 0 || len(validation.IsDNS1123Label(o.Name)) > 0 {
		return o, errors.New("expected " + Path + "<namespace>/<function> or " + Path + "<namespace>/" + events.AgentsPath + "<agent>")
	}
	return o, nil
}

func readEvent(w http.ResponseWriter, r *http.Request) (*event.Event, int, string) {
	r.Body = http.MaxBytesReader(w, r.Body, maxLetter)
	message := cehttp.NewMessageFromHttpRequest(r)
	if message.ReadEncoding() == binding.EncodingUnknown || message.ReadEncoding() == binding.EncodingBatch {
		return nil, http.StatusBadRequest, "expected one CloudEvent, in the binary or the structured mode"
	}
	e, err := binding.ToEvent(r.Context(), message)
	if err == nil {
		err = e.Validate()
	}
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return nil, http.StatusRequestEntityTooLarge, "the event is longer than 16 MiB"
	case err != nil:
		return nil, http.StatusBadRequest, "not a valid CloudEvent: " + strings.TrimSpace(err.Error())
	}
	return e, 0, ""
}
