// Package delivery sends events to subscribers and dead letter sinks over HTTP, and
// judges their responses. It is the only HTTP client of the event plane.
package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"k8s.io/apimachinery/pkg/types"
	eventingapis "knative.dev/eventing/pkg/apis"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	"knative.dev/eventing/pkg/broker"
	"knative.dev/eventing/pkg/kncloudevents"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
)

const (
	// NoAnswer stands for the status of a subscriber that did not answer.
	NoAnswer = -1
	// HopsHeader says how many Brokers an event has come through. Unlike an attribute it
	// leaves the event as it is for subscribers that are no Brokers.
	HopsHeader = "Lambda-Hops"
	// maxErrorData bounds how much of a failure's body is kept, in bytes. Its base64 form
	// has 1,024 bytes, the limit of knativeerrordata.
	maxErrorData = 768
	// maxDiscard bounds what is read of a body that is ignored, to use the connection
	// again.
	maxDiscard = 64 << 10
	// defaultReplyLimit bounds a reply event, in bytes.
	defaultReplyLimit = 16 << 20
)

// Tokens makes OIDC tokens, as Knative's auth.OIDCTokenProvider does.
type Tokens interface {
	GetJWT(serviceAccount types.NamespacedName, audience string) (string, error)
}

// Options of a Client.
type Options struct {
	// Permit decides about each address that is dialled. It is required.
	Permit Permit
	// TLS returns the configuration that trusts these CA certificates in PEM format, and
	// what the cluster trusts.
	TLS TLSConfig
	// Tokens for requests that name a ServiceAccount. Without it they are sent without a
	// token.
	Tokens Tokens
	// ReplyLimit in bytes; default 16 MiB.
	ReplyLimit int64
}

// Client sends events.
type Client struct {
	options    Options
	transports *transports
	now        func() time.Time
}

// New returns a Client.
func New(o Options) *Client {
	if o.ReplyLimit <= 0 {
		o.ReplyLimit = defaultReplyLimit
	}
	return &Client{options: o, transports: newTransports(o.Permit, o.TLS), now: time.Now}
}

// Close the connections that are idle.
func (c *Client) Close() { c.transports.close() }

// Request to send one event.
type Request struct {
	// Namespace of the Trigger. Connections are not shared between namespaces.
	Namespace string
	To        duckv1.Addressable
	Event     *event.Event
	// Format of the request; nil is binary.
	Format *eventingduckv1.FormatType
	// ServiceAccount whose token is sent; empty is none. It is in Namespace.
	ServiceAccount string
	Timeout        time.Duration
	// Reply asks for a reply event.
	Reply bool
	// KeepBody is how many bytes of a successful response's body are kept that is no
	// event; 0 ignores the body.
	KeepBody int64
	// Hops is how many Brokers the event has come through.
	Hops int32
}

// Result of a Request.
type Result struct {
	// Status of the response, or NoAnswer.
	Status int
	// Err is nil if the event was delivered, and otherwise says why not.
	Err error
	// Data is the start of a failed response's body, or the text of Err.
	Data []byte
	// Retry reports whether a failure may end.
	Retry bool
	// RetryAfter is how long the subscriber asked to wait.
	RetryAfter time.Duration
	// Reply event; nil if there is none.
	Reply *event.Event
	// Body of a response that is no event, and its content type. A body with more than
	// Request.KeepBody is omitted.
	Body        []byte
	ContentType string
	Omitted     bool
	// Duration of the exchange.
	Duration time.Duration
}

// ErrorCode is the status for knativeerrorcode, where no answer is 500.
func (r *Result) ErrorCode() int {
	if r.Status == NoAnswer {
		return http.StatusInternalServerError
	}
	return r.Status
}

// Send an event and wait for the response, its body included.
func (c *Client) Send(ctx context.Context, r *Request) *Result {
	start := c.now()
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	result, err := c.exchange(ctx, r)
	if err != nil {
		result = failed(NoAnswer, err, nil, true)
	}
	result.Duration = c.now().Sub(start)
	return result
}

// exchange returns an error if there is no response.
func (c *Client) exchange(ctx context.Context, r *Request) (*Result, error) {
	request, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	transport, err := c.transports.get(r.Namespace, request.URL.Scheme, r.To.CACerts)
	if err != nil {
		return nil, err
	}
	// A transport follows no redirects and keeps no cookies.
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("cannot deliver to %s: %w", request.URL.Redacted(), err)
	}
	defer response.Body.Close()
	return c.judge(ctx, r, response), nil
}

// request to send, without the attributes that are the Broker's own.
func (c *Client) request(ctx context.Context, r *Request) (*http.Request, error) {
	if r.To.URL == nil {
		return nil, errors.New("the destination has no URL")
	}
	to := *r.To.URL
	if to.Scheme != "http" && to.Scheme != "https" { // as Knative reads a URL that is a host only
		to.Scheme, to.Path = "http", "/"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("the destination's URL is not valid: %w", err)
	}
	if user := request.URL.User; user != nil {
		password, _ := user.Password()
		request.SetBasicAuth(user.Username(), password)
	}
	e := r.Event.Clone()
	if err := broker.DeleteTTL(e.Context); err != nil {
		return nil, fmt.Errorf("cannot remove the TTL of the event: %w", err)
	}
	encoding := binding.WithForceBinary(ctx)
	if r.Format != nil && *r.Format == eventingduckv1.DeliveryFormatJson {
		encoding = binding.WithForceStructured(ctx)
	}
	if err := ceio.WriteRequest(encoding, binding.ToMessage(&e), request); err != nil {
		return nil, fmt.Errorf("cannot write the event into a request: %w", err)
	}
	request.Header.Set(eventingapis.KnNamespaceHeader, r.Namespace)
	if r.Hops > 0 {
		request.Header.Set(HopsHeader, strconv.Itoa(int(r.Hops)))
	}
	if r.Reply {
		request.Header.Set("Prefer", "reply")
	}
	otel.GetTextMapPropagator().Inject(ctx, propagation.HeaderCarrier(request.Header))
	return request, c.authorize(r, request)
}

func (c *Client) authorize(r *Request, request *http.Request) error {
	if c.options.Tokens == nil || r.ServiceAccount == "" || r.To.Audience == nil || *r.To.Audience == "" {
		return nil
	}
	account := types.NamespacedName{Namespace: r.Namespace, Name: r.ServiceAccount}
	token, err := c.options.Tokens.GetJWT(account, *r.To.Audience)
	if err != nil {
		return fmt.Errorf("cannot get a token for ServiceAccount %s: %w", account, err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// judge a response.
func (c *Client) judge(ctx context.Context, r *Request, response *http.Response) *Result {
	if response.StatusCode/100 != 2 {
		data, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorData))
		discard(response.Body)
		retry, _ := kncloudevents.SelectiveRetry(ctx, response, nil)
		result := failed(response.StatusCode, fmt.Errorf("the response was %s, expected 2xx", response.Status), data, retry)
		result.RetryAfter = retryAfterOf(response, c.now())
		return result
	}
	delivered := &Result{Status: response.StatusCode}
	message := cehttp.NewMessage(response.Header, response.Body)
	if message.ReadEncoding() == binding.EncodingUnknown {
		if err := delivered.keep(response, r.KeepBody); err != nil {
			return failed(http.StatusBadGateway, err, nil, true)
		}
		return delivered
	}
	if !r.Reply {
		discard(response.Body)
		return delivered
	}
	reply, err := c.reply(ctx, response)
	if err != nil {
		// As Knative: the subscriber is called again.
		return failed(http.StatusBadGateway, err, nil, true)
	}
	delivered.Reply = reply
	return delivered
}

// keep the body of a response.
func (r *Result) keep(response *http.Response, limit int64) error {
	if limit <= 0 {
		discard(response.Body)
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		return fmt.Errorf("cannot read the response: %w", err)
	case int64(len(body)) > limit:
		discard(response.Body)
		r.Omitted = true
	default:
		r.Body, r.ContentType = body, response.Header.Get("Content-Type")
	}
	return nil
}

// reply event of a response that claims to have one.
func (c *Client) reply(ctx context.Context, response *http.Response) (*event.Event, error) {
	body, err := egress.ReadBody(response.Body, c.options.ReplyLimit)
	if err != nil {
		return nil, fmt.Errorf("cannot read the reply: %w", err)
	}
	message := cehttp.NewMessage(response.Header, io.NopCloser(bytes.NewReader(body)))
	if message.ReadEncoding() == binding.EncodingBatch {
		return nil, errors.New("the reply is a batch, expected one event")
	}
	reply, err := ceio.Read(ctx, message)
	if err != nil {
		return nil, fmt.Errorf("the reply is not a valid CloudEvent: %w", err)
	}
	return reply, nil
}

func failed(status int, err error, data []byte, retry bool) *Result {
	if len(data) == 0 {
		data = []byte(err.Error())
	}
	return &Result{Status: status, Err: err, Data: data[:min(len(data), maxErrorData)], Retry: retry}
}

// discard reads the rest of a short body, so that the connection can be used again.
func discard(body io.Reader) { _, _ = io.CopyN(io.Discard, body, maxDiscard) }
