// Package command carries out commands that come as CloudEvents: changes of
// functions in namespaces that let them in, with the rights that the namespace
// gives them.
package command

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	servingclientset "knative.dev/serving/pkg/client/clientset/versioned"

	"github.com/brunovlucena/knative-lambda-operator/internal/httpserver"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	lambdaclientset "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events/schema"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/access"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// maxCommand bounds a command: inline source may be 512 KiB, and JSON longer.
const maxCommand = 2 << 20

// Deliver sends an event to a URL, some times if need be.
type Deliver func(ctx context.Context, url string, e *event.Event) error

// Handler answers commands.
type Handler struct {
	Kube kubernetes.Interface
	// Clients with the rights that a namespace gives commands.
	Clients func(namespace string) (lambdaclientset.Interface, servingclientset.Interface, error)
	Access  *access.Reviewer
	Letters *deadletter.Service
	// Config is the newest configuration.
	Config func() *config.Events
	// Deliver sends answers to the response sink.
	Deliver Deliver
	// Observe is called with each command and its outcome.
	Observe func(ctx context.Context, command, outcome string)

	events *httpapi.EventReader
}

// limits of all commands. Their key is the sender's address: whose they are is not known
// before they have been read.
var limits = httpserver.Limits{Bytes: 24 << 20, BytesPerKey: 12 << 20, Places: 32, PlacesPerNamespace: 8, Wait: 20 * time.Second}

// NewHandler returns a handler with the exported fields of h.
func NewHandler(h Handler) *Handler {
	h.events = httpapi.NewEventReader(limits, maxCommand)
	return &h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "expected POST of a CloudEvent", http.StatusMethodNotAllowed)
		return
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	structured := media == event.ApplicationCloudEventsJSON
	e, release, err := h.events.Read(w, r, httpserver.RemoteIP(r), nil)
	if err != nil {
		h.Observe(r.Context(), "unknown", "invalid")
		write(r.Context(), w, problem(nil, nil, refusalOf(err)), refusalOf(err).Status, structured)
		return
	}
	defer release()
	c := &command{Event: *e, kind: h.Config().Command(e.Type())}
	status := http.StatusOK
	answer, err := h.handle(r.Context(), c, r)
	if err != nil {
		refused := refusalOf(err)
		status, answer = refused.Status, problem(e, c, refused)
		slog.InfoContext(r.Context(), "a command was refused", "type", e.Type(), "id", e.ID(), "source", e.Source(), "function", c.target.String(), "status", status, "reason", refused.Reason+": "+refused.Error())
	}
	if sink := h.Config().ResponseSink; sink != "" {
		if err := h.Deliver(r.Context(), sink, answer); err != nil {
			// Nobody may be left without an answer: the command comes again, has no
			// second effect, and is answered then.
			slog.WarnContext(r.Context(), "the response sink did not take an answer", "sink", sink, "id", e.ID(), "error", err)
			status, answer = http.StatusServiceUnavailable, problem(e, c, refusalOf(httpapi.Errorf(http.StatusServiceUnavailable, "ResponseSinkUnavailable", "%w", err)))
		}
	}
	h.Observe(r.Context(), known(c.kind), httpapi.Outcome(status))
	write(r.Context(), w, answer, status, structured)
}

// known bounds the label of a metric.
func known(kind string) string {
	if schema.Of(kind) == nil {
		return "unknown"
	}
	return strings.TrimPrefix(kind, events.Prefix+"command.")
}

// handle lets a command in, carries it out once and returns its answer.
func (h *Handler) handle(ctx context.Context, c *command, r *http.Request) (*event.Event, error) {
	if err := c.resolve(); err != nil {
		return nil, err
	}
	leave, err := h.events.Enter(ctx, c.target.Namespace)
	if err != nil {
		return nil, err
	}
	defer leave()
	in, err := admit(ctx, h.Kube, h.Access, c.target.Namespace, c.Source(), r)
	if err != nil {
		return nil, err
	}
	ledger, key := &ledger{h.Kube, in}, httpapi.EventKey(&c.Event)
	if before, err := ledger.find(key); before != nil || err != nil {
		return before, err
	}
	res, err := h.execute(ctx, c)
	if err != nil {
		return nil, err
	}
	res.Command, res.Namespace, res.Name = c.kind, c.target.Namespace, c.target.Name
	answer, err := success(c, res)
	if err != nil || c.kind == events.CommandDeadLetterList { // which changes nothing
		return answer, err
	}
	return answer, ledger.record(ctx, key, answer)
}

// resolve checks the command's type and data, and finds out its function.
func (c *command) resolve() error {
	if !strings.HasPrefix(c.kind, events.Prefix+"command.") || schema.Of(c.kind) == nil {
		return httpapi.Errorf(http.StatusBadRequest, "UnknownType", "type %q is no command: docs/events.md lists them", c.Type())
	}
	data := c.Data()
	if len(data) == 0 {
		data = []byte("{}")
	} else if media, _, _ := mime.ParseMediaType(c.DataContentType()); media != "" && media != event.ApplicationJSON && media != "text/json" && !strings.HasSuffix(media, "+json") {
		return httpapi.Errorf(http.StatusBadRequest, "InvalidData", "datacontenttype: expected application/json, got %q", c.DataContentType())
	}
	if err := schema.Validate(c.kind, data); err != nil {
		return httpapi.Errorf(http.StatusBadRequest, "InvalidData", "data: %v", err)
	}
	target, err := decode[events.Target](c)
	if err != nil {
		return err
	}
	c.target = types.NamespacedName{Namespace: target.Namespace, Name: target.Name}
	if namespace, name, ok := strings.Cut(c.Subject(), "/"); ok {
		if target.Namespace != "" && target.Namespace != namespace || target.Name != "" && target.Name != name {
			return httpapi.Errorf(http.StatusBadRequest, "InvalidData", "data names function %s/%s and subject %q another", target.Namespace, target.Name, c.Subject())
		}
		c.target = types.NamespacedName{Namespace: namespace, Name: name}
	}
	if len(validation.IsDNS1123Label(c.target.Namespace)) > 0 || len(validation.IsDNS1035Label(c.target.Name)) > 0 {
		return httpapi.Errorf(http.StatusBadRequest, "InvalidData", "expected the function as subject <namespace>/<name>, or as namespace and name in data, got %q", c.target)
	}
	return nil
}

// reply to a command, the same each time it is made, but for its time.
func reply(e *event.Event, c *command, eventType string, data any) (*event.Event, error) {
	answer := event.New()
	answer.SetType(eventType)
	answer.SetTime(time.Now().UTC())
	source := "io.knative.lambda/receiver"
	seed := time.Now().String()
	if c != nil && c.target.Name != "" {
		source = events.Source("receiver", c.target.Namespace, c.target.Name)
		answer.SetSubject(c.target.String())
	}
	if e != nil {
		seed = e.Source() + "\x00" + e.ID()
		answer.SetExtension(events.CausationExtension, e.ID())
	}
	answer.SetSource(source)
	sum := sha256.Sum256([]byte(eventType + "\x00" + seed))
	answer.SetID(hex.EncodeToString(sum[:16]))
	text, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	return &answer, answer.SetData(event.ApplicationJSON, json.RawMessage(text))
}

func success(c *command, r *events.CommandResult) (*event.Event, error) {
	return reply(&c.Event, c, events.ResponseSuccess, r)
}

func problem(e *event.Event, c *command, r *httpapi.StatusError) *event.Event {
	data := events.Error{Type: r.Reason, Message: r.Error(), Permanent: r.Status < http.StatusInternalServerError}
	answer, err := reply(e, c, events.ResponseError, data)
	if err != nil { // strings and a bool
		panic(err)
	}
	return answer
}

// write answers in the mode of the command.
func write(ctx context.Context, w http.ResponseWriter, e *event.Event, status int, structured bool) {
	ctx = binding.WithForceBinary(ctx)
	if structured {
		ctx = binding.WithForceStructured(ctx)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if err := cehttp.WriteResponseWriter(ctx, binding.ToMessage(e), status, w); err != nil {
		slog.WarnContext(ctx, "an answer could not be written", "error", err)
	}
}
