package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"knative.dev/serving/pkg/apis/serving"

	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

const (
	// queuePort is where Knative's queue-proxy in a function's pod and its activator
	// take requests.
	queuePort         = 8012
	servingNamespace  = "knative-serving"
	activatorSelector = "app=activator"
)

type invocation struct {
	*options
	data, contentType     string
	eventType, source, id string
	isEvent, forwarded    bool
	async                 bool
	address               string
	timeout               time.Duration
}

func (o *options) invoke() *cobra.Command {
	i := &invocation{options: o}
	cmd := &cobra.Command{
		Use: "invoke [TYPE/]NAME", Short: "Call a function and print its answer",
		Long: `Call a function and print its answer: the status on standard error, the body on standard output.

The function is called by its URL. Where the URL's host does not resolve from here, the call goes through the API server, as with
kubectl port-forward: to a pod of the function, or to Knative's activator, which starts one.

With --async the call of a function or an agent is stored, and its id is printed: kubectl lambda outcome shows what became of it.`,
		Example: `  kubectl lambda invoke hello-python --data '{"name": "you"}'
  kubectl lambda invoke orders --type io.example.order.created --data @order.json
  kubectl lambda invoke agent/bruno --async --data '{"question": "why?"}'`,
		Args: one,
		RunE: func(cmd *cobra.Command, args []string) error { return i.run(cmd.Context(), args[0]) },
	}
	f := cmd.Flags()
	f.StringVarP(&i.data, "data", "d", "", "The body: text, @file, or - for standard input")
	f.StringVar(&i.contentType, "content-type", "application/json", "Content type of the body")
	f.BoolVar(&i.isEvent, "event", false, "Send a CloudEvent instead of a plain request")
	f.StringVar(&i.eventType, "type", events.InvokeSync, "Type of the event; implies --event")
	f.StringVar(&i.source, "source", "/kubectl-lambda", "Source of the event; implies --event")
	f.StringVar(&i.id, "id", "", "Id of the event, default a new one; implies --event")
	f.BoolVar(&i.async, "async", false, "Store the call and print its id instead of waiting for the answer")
	f.BoolVar(&i.forwarded, "port-forward", false, "Go through the API server although the URL resolves")
	f.StringVar(&i.address, "address", os.Getenv("LAMBDA_INGRESS"), "host:port of the ingress, where the URL's host does not resolve to it (default $LAMBDA_INGRESS)")
	f.DurationVar(&i.timeout, "timeout", 5*time.Minute, "How long the answer may take")
	cmd.PreRun = func(_ *cobra.Command, _ []string) {
		i.isEvent = i.isEvent || f.Changed("type") || f.Changed("source") || f.Changed("id")
	}
	return cmd
}

func (i *invocation) run(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, i.timeout)
	defer cancel()
	if i.async {
		return i.callAsync(ctx, name)
	}
	of, err := i.owner(name)
	if err != nil {
		return err
	}
	if of.kind != receiverv1.KindFunction {
		return fmt.Errorf("%s: expected a function, or --async", name)
	}
	name = of.name
	f, err := i.function(ctx, name)
	switch {
	case err != nil:
		return err
	case f.Status.URL == nil:
		return fmt.Errorf("function %s has no URL yet: kubectl describe lambdafunction %s says why", name, name)
	}
	request, err := i.request(ctx, f.Status.URL.String())
	if err != nil {
		return err
	}
	client, stop, err := i.route(ctx, f, request)
	if err != nil {
		return err
	}
	defer stop()
	start := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return i.print(response, time.Since(start))
}

func (i *invocation) request(ctx context.Context, url string) (*http.Request, error) {
	body, err := i.body()
	if err != nil {
		return nil, err
	}
	if !i.isEvent {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(string(body)))
		if err == nil && len(body) > 0 {
			r.Header.Set("Content-Type", i.contentType)
		}
		return r, err
	}
	e := event.New()
	if i.id == "" {
		i.id = uuid.NewString()
	}
	e.SetID(i.id)
	e.SetType(i.eventType)
	e.SetSource(i.source)
	e.SetTime(time.Now().UTC())
	if len(body) > 0 {
		e.SetDataContentType(i.contentType)
		e.DataEncoded = body
	}
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("not a valid CloudEvent: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	if err := ceio.WriteRequest(binding.WithForceBinary(ctx), binding.ToMessage(&e), r); err != nil {
		return nil, err
	}
	return r, nil
}

func (i *invocation) body() ([]byte, error) {
	switch file, isFile := strings.CutPrefix(i.data, "@"); {
	case i.data == "-":
		return io.ReadAll(i.In)
	case isFile:
		return os.ReadFile(file)
	}
	return []byte(i.data), nil
}

// route finds a way to the function.
func (i *invocation) route(ctx context.Context, f *v1alpha1.LambdaFunction, r *http.Request) (*http.Client, func(), error) {
	address, stop := i.address, func() {}
	if i.forwarded || address == "" && !resolves(ctx, r.URL.Hostname()) {
		var err error
		if address, stop, err = i.throughAPIServer(ctx, f, r); err != nil {
			return nil, nil, err
		}
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if address != "" {
		r.Host = r.URL.Host
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
	}
	return &http.Client{Transport: transport}, stop, nil
}

func resolves(ctx context.Context, host string) bool {
	const patience = 3 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	return err == nil && len(found) > 0
}

// throughAPIServer forwards a port of a pod of the function where one is ready,
// which needs no right but in the function's own namespace; else of the activator,
// which starts one.
func (i *invocation) throughAPIServer(ctx context.Context, f *v1alpha1.LambdaFunction, r *http.Request) (string, func(), error) {
	revision := f.Status.LatestReadyRevisionName
	if revision == "" {
		return "", nil, fmt.Errorf("function %s has no revision that is ready", f.Name)
	}
	r.URL.Scheme = "http"
	namespace := i.namespace
	pod, err := i.readyPod(ctx, namespace, serving.RevisionLabelKey+"="+revision)
	if errors.Is(err, errNoPod) {
		fmt.Fprintf(i.ErrOut, "%s does not resolve from here and no pod is up: asking Knative's activator to start one\n", r.URL.Hostname())
		namespace = servingNamespace
		r.Header.Set("Knative-Serving-Namespace", f.Namespace)
		r.Header.Set("Knative-Serving-Revision", revision)
		pod, err = i.readyPod(ctx, namespace, activatorSelector)
	}
	if err != nil {
		return "", nil, err
	}
	return i.forward(ctx, namespace, pod, queuePort)
}

// print the answer; a status that is an error is one.
func (i *invocation) print(response *http.Response, took time.Duration) error {
	said := response.Status
	if kind := response.Header.Get("Ce-Type"); kind != "" {
		said += ", event " + kind
	}
	fmt.Fprintf(i.ErrOut, "%s, %s, %v\n", line(said), line(orNone(response.Header.Get("Content-Type"))), took.Round(time.Millisecond))
	last := &lastByte{w: onTerminal(i.Out)}
	if _, err := io.Copy(last, response.Body); err != nil {
		return err
	}
	if last.any && last.b != '\n' {
		fmt.Fprintln(i.Out)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("the function answered %s", line(response.Status))
	}
	return nil
}

func orNone(text string) string {
	if text == "" {
		return "no body"
	}
	return text
}

// lastByte remembers the last byte that was written.
type lastByte struct {
	w   io.Writer
	b   byte
	any bool
}

func (l *lastByte) Write(p []byte) (int, error) {
	if len(p) > 0 {
		l.b, l.any = p[len(p)-1], true
	}
	return l.w.Write(p)
}
