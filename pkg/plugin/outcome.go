package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/printers"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

const (
	brokerSelector = "app=knative-lambda-broker"
	brokerPort     = 8080
	// pollOutcome is how often an outcome is asked for.
	pollOutcome = time.Second
)

func (o *options) outcome() *cobra.Command {
	var output string
	var wait bool
	timeout := 5 * time.Minute
	cmd := &cobra.Command{
		Use: "outcome [TYPE/]NAME ID", Short: "Show the outcome of an asynchronous call",
		Long: `Show the outcome of an asynchronous call: what the function or agent returned, or why it failed. Outcomes are kept for up to an hour, and newer ones may displace them before that.

The ID is what invoke --async prints.`,
		Example: `  kubectl lambda outcome hello-python "$(kubectl lambda invoke hello-python --async --data '{"name": "you"}')" --wait`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[1] == "" {
				return errEmptyID
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return o.withOwner(ctx, args[0], func(r *receiver, of owner) error {
				list, err := r.outcomes(ctx, of, args[1], wait)
				switch {
				case err != nil:
					return err
				case output != "":
					return write(o.Out, output, list)
				}
				return o.printOutcomes(list)
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml")
	cmd.Flags().BoolVar(&wait, "wait", false, "Wait until the call has ended")
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "How long to wait at most")
	return cmd
}

// outcomes of a call; with wait, once there is one.
func (r *receiver) outcomes(ctx context.Context, of owner, id string, wait bool) (*receiverv1.OutcomeList, error) {
	var last error
	for {
		var list receiverv1.OutcomeList
		err := r.get(ctx, http.MethodGet, receiverv1.OutcomesPath(of.kind, of.namespace, of.name), url.Values{receiverv1.ParamID: {id}}, &list)
		if err == nil {
			return &list, nil
		}
		var refused *statusError
		switch {
		case ctx.Err() != nil && last != nil: // the time was up during the request
			return nil, last
		case !wait || !errors.As(err, &refused) || refused.status != http.StatusNotFound:
			return nil, err
		}
		last = err
		select {
		case <-ctx.Done():
			return nil, last
		case <-time.After(pollOutcome):
		}
	}
}

// printOutcomes prints the result; a failed call is an error.
func (o *options) printOutcomes(list *receiverv1.OutcomeList) (failed error) {
	for i := range list.Items {
		item := &list.Items[i]
		e, err := ceio.Unmarshal(item.Event)
		if err != nil {
			return err
		}
		w := printers.GetNewTabWriter(o.ErrOut)
		fmt.Fprintf(w, "%s\t%s\t%s\n", line(strings.TrimPrefix(item.Type, events.Prefix+"response.")), line(item.Time), line(orNone(e.DataContentType())))
		if err := w.Flush(); err != nil {
			return err
		}
		if len(e.Data()) > 0 {
			fmt.Fprintln(o.Out, block(string(e.Data())))
		}
		if item.Type != events.ResponseSuccess {
			failed = fmt.Errorf("the call failed after %d attempts: %s", item.Attempts, line(item.ErrorReason))
		}
	}
	return failed
}

// callsURL of a function or an agent, which is an address in the cluster.
func (o *options) callsURL(ctx context.Context, of owner) (*apis.URL, error) {
	var found *apis.URL
	if of.kind == receiverv1.KindAgent {
		a, err := o.lambda.LambdaV1alpha1().LambdaAgents(of.namespace).Get(ctx, of.name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		found = a.Status.CallsURL
	} else {
		f, err := o.function(ctx, of.name)
		if err != nil {
			return nil, err
		}
		found = f.Status.CallsURL
	}
	if found == nil {
		return nil, fmt.Errorf("%s %s takes no asynchronous calls: it needs eventing.enabled and a broker of class LambdaBroker", of.kind, of.name)
	}
	return found, nil
}

// callAsync stores a call in the event plane, through the API server, and prints its id.
func (i *invocation) callAsync(ctx context.Context, arg string) error {
	of, err := i.owner(arg)
	if err != nil {
		return err
	}
	to, err := i.callsURL(ctx, of)
	if err != nil {
		return err
	}
	pod, err := i.readyPod(ctx, i.operator, brokerSelector)
	if err != nil {
		return fmt.Errorf("the event plane cannot be reached: %w", err)
	}
	address, stop, err := i.forward(ctx, i.operator, pod, brokerPort)
	if err != nil {
		return fmt.Errorf("the event plane cannot be reached: it needs get and list of pods and create of pods/portforward in namespace %s: %w", i.operator, err)
	}
	defer stop()
	request, err := i.request(ctx, "http://"+address+to.Path)
	if err != nil {
		return err
	}
	response, err := (&http.Client{}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return i.printCall(response)
}

// printCall prints the id of a call that was stored.
func (i *invocation) printCall(response *http.Response) error {
	const most = 64 << 10
	text, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return err
	}
	var stored receiverv1.Call
	if response.StatusCode != http.StatusAccepted || json.Unmarshal(text, &stored) != nil || stored.ID == "" {
		return fmt.Errorf("the event plane answered %s: %s", line(response.Status), line(strings.TrimSpace(string(text))))
	}
	fmt.Fprintln(i.Out, line(stored.ID))
	return nil
}
