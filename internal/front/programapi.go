package front

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"

	"go.opentelemetry.io/otel/propagation"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

const (
	typeJSON  = "application/json"
	apiHost   = "127.0.0.1"
	apiPrefix = "/2018-06-01/runtime/"
	// maxClientContext is the longest value of the header that has what a program gets of
	// a CloudEvent, in bytes: clients bound their headers.
	maxClientContext = 8 << 10
)

// programAPI serves AWS Lambda's runtime API to one program, on a loopback port of its
// own, so that it is known who asks:
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type programAPI struct {
	server    *http.Server
	address   string
	function  string // as an ARN
	maxBody   int64
	exclusive bool        // one call at a time
	broken    chan string // how the program broke the rules; has room for one
	calls     chan *programCall
	asked     chan struct{} // closed when the program asks for its first invocation
	initial   chan string   // why the program could not start; has room for one
	once      sync.Once

	mu   sync.Mutex
	open map[string]*programCall // that have no answer yet, by id
}

// listenAPI serves an API of a program that is about to start.
func listenAPI(cfg *runtime.PoolConfig) (*programAPI, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(apiHost, "0"))
	if err != nil {
		return nil, err
	}
	a := &programAPI{address: listener.Addr().String(), function: "arn:knative:lambda:" + cfg.Namespace + "::function:" + cfg.Function,
		maxBody: int64(cfg.MaxBody), exclusive: cfg.Slots() == 1, broken: make(chan string, 1),
		calls: make(chan *programCall), asked: make(chan struct{}), initial: make(chan string, 1), open: map[string]*programCall{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+apiPrefix+"invocation/next", a.next)
	mux.HandleFunc("POST "+apiPrefix+"invocation/{id}/response", a.response)
	mux.HandleFunc("POST "+apiPrefix+"invocation/{id}/error", a.failure)
	mux.HandleFunc("POST "+apiPrefix+"init/error", a.initFailure)
	a.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := a.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("the runtime API is no longer served", "error", err)
		}
	}()
	return a, nil
}

func (a *programAPI) close() { _ = a.server.Close() } // its connections have nothing left to send

// next gives the program its next invocation, however long that takes to come.
func (a *programAPI) next(w http.ResponseWriter, r *http.Request) {
	a.once.Do(func() { close(a.asked) })
	if a.exclusive && a.unanswered() {
		select {
		case a.broken <- "the program asked for an invocation before it had answered the last":
		default: // it is being ended
		}
		return
	}
	select {
	case c := <-a.calls:
		a.mu.Lock()
		a.open[c.id] = c
		a.mu.Unlock()
		a.describe(w.Header(), c)
		_, _ = w.Write(c.payload) // a program that has ended is seen elsewhere
	case <-r.Context().Done():
	}
}

func (a *programAPI) unanswered() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.open) > 0
}

// take returns the invocation of that id if it has no answer, which it is to get now.
func (a *programAPI) take(id string) *programCall {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.open[id]
	delete(a.open, id)
	return c
}

// describe says in headers what the program is called with.
func (a *programAPI) describe(h http.Header, c *programCall) {
	h.Set("Content-Type", typeJSON)
	h.Set("Lambda-Runtime-Aws-Request-Id", c.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(c.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", a.function)
	if id := xrayTrace(c.Traceparent); id != "" {
		h.Set("Lambda-Runtime-Trace-Id", id)
	}
	if r := c.Request(); r != nil && r.Header.Get("X-Amz-Tenant-Id") != "" {
		h.Set("Lambda-Runtime-Aws-Tenant-Id", r.Header.Get("X-Amz-Tenant-Id"))
	}
	if text := clientContext(c); text != "" {
		h.Set("Lambda-Runtime-Client-Context", text)
	}
}

// clientContext is where AWS has what a caller adds: the attributes of a CloudEvent and
// the trace. The longest are left out until it is short enough.
func clientContext(c *programCall) string {
	custom := make(map[string]string, len(c.Event)+1)
	for name, value := range c.Event {
		custom[name] = fmt.Sprint(value)
	}
	if c.Traceparent != "" {
		custom["traceparent"] = c.Traceparent
	}
	for len(custom) > 0 {
		text, err := json.Marshal(map[string]any{"custom": custom})
		if err != nil { // of texts
			panic(err)
		}
		if header := asciiJSON(text); len(header) <= maxClientContext {
			return header
		}
		longest := ""
		for name, value := range custom {
			if longest == "" || len(value) > len(custom[longest]) {
				longest = name
			}
		}
		slog.Warn("an attribute of an event does not fit in the client context of AWS Lambda", "attribute", protocol.Cut(longest, 100), "bytes", len(custom[longest]))
		delete(custom, longest)
	}
	return ""
}

// asciiJSON escapes what a header cannot carry.
func asciiJSON(text []byte) string {
	var out strings.Builder
	for _, r := range string(text) {
		if r < 0x7f {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&out, `\u%04x`, unit)
		}
	}
	return out.String()
}

// xrayTrace is a W3C trace context in the form of AWS X-Ray.
func xrayTrace(traceparent string) string {
	parts := strings.Split(traceparent, "-")
	if len(parts) < 4 || len(parts[1]) != 32 {
		return ""
	}
	sampled := "0"
	if strings.HasSuffix(parts[3], "1") {
		sampled = "1"
	}
	return fmt.Sprintf("Root=1-%s-%s;Parent=%s;Sampled=%s", parts[1][:8], parts[1][8:], parts[2], sampled)
}

// logError logs an error, as workers of the other protocol do themselves.
func logError(c *programCall, err error) {
	var raised *runtime.HandlerError
	if !errors.As(err, &raised) {
		return
	}
	attributes := []any{"request_id", c.id}
	if id, ok := c.Event["id"]; ok {
		attributes = append(attributes, "event_id", id, "event_type", c.Event["type"])
	}
	if raised.Stack != "" {
		attributes = append(attributes, "exception", raised.Stack)
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": c.Traceparent})
	slog.ErrorContext(ctx, raised.Error(), slices.Clip(attributes)...)
}
