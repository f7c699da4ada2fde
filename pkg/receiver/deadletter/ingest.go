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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

const (
	// Path below which dead letters are posted: Path + <namespace>/<function>.
	Path = "/dead-letters/"
	// maxLetter bounds the data of a letter, and maxAtOnce how many are in memory.
	maxLetter = 16 << 20
	maxAtOnce = 8
	// publishTimeout is how long RabbitMQ may take to have a letter.
	publishTimeout = 20 * time.Second
)

// Ingest takes events that a broker could not deliver and puts each into the queue
// of its function. It answers 2xx only after the queue has it; anything else lets
// the broker keep it and try again.
type Ingest struct {
	Store     Store
	Functions Functions
	// Observe is told how each letter fared.
	Observe func(ctx context.Context, outcome string)

	slots chan struct{}
}

// NewIngest returns a handler for Path.
func NewIngest(store Store, functions Functions, observe func(context.Context, string)) *Ingest {
	return &Ingest{Store: store, Functions: functions, Observe: observe, slots: make(chan struct{}, maxAtOnce)}
}

// ServeHTTP implements http.Handler.
func (i *Ingest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, message := i.serve(w, r)
	outcome := "stored"
	if message != "" {
		outcome = strings.ToLower(strings.ReplaceAll(http.StatusText(status), " ", "_"))
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, message, status)
	} else {
		w.WriteHeader(status)
	}
	i.Observe(r.Context(), outcome)
}

func (i *Ingest) serve(w http.ResponseWriter, r *http.Request) (int, string) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return http.StatusMethodNotAllowed, "expected POST"
	}
	key, err := functionOf(strings.TrimPrefix(r.URL.Path, Path))
	if err != nil {
		return http.StatusNotFound, err.Error()
	}
	select {
	case i.slots <- struct{}{}:
		defer func() { <-i.slots }()
	case <-r.Context().Done():
		return http.StatusServiceUnavailable, "too many dead letters at once"
	}
	e, status, message := readEvent(w, r)
	if message != "" {
		return status, message
	}
	retries := -1
	if f, err := i.Functions.Get(key); err == nil {
		retries = Retries(f)
	}
	Annotate(e, retries, time.Now())
	ctx, cancel := context.WithTimeout(r.Context(), publishTimeout)
	defer cancel()
	if err := i.Store.Publish(ctx, events.DeadLetterQueue(key.Namespace, key.Name), e); err != nil {
		return http.StatusServiceUnavailable, err.Error()
	}
	return http.StatusAccepted, ""
}

func functionOf(path string) (types.NamespacedName, error) {
	namespace, name, ok := strings.Cut(path, "/")
	if !ok || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Label(name)) > 0 {
		return types.NamespacedName{}, errors.New("expected " + Path + "<namespace>/<function>")
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, nil
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
