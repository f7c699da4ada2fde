//go:build fault

package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/management"
)

// remembers each event. Asked by a plain request for ids, it answers with those that it
// has not had.
const remembers = `import os

def handler(event, context):
    if context.type is not None:
        open("/tmp/event-" + context.id, "w").close()
        return None
    return [id for id in event.get("ids", []) if not os.path.exists("/tmp/event-" + id)]
`

const (
	// eventPace is how often the stream posts an event.
	eventPace = 100 * time.Millisecond
	// redelivery is how much later than all is settled an event may be delivered that was
	// accepted before.
	redelivery = time.Minute
)

// ingressOf the Broker, at the address of its Service: without the API server, too.
func (w *world) ingressOf(ctx context.Context) (string, error) {
	b, err := w.AwaitBroker(ctx, types.NamespacedName{Namespace: w.namespace, Name: "default"})
	if err != nil {
		return "", err
	}
	name, rest, _ := strings.Cut(b.Status.Address.URL.Host, ".")
	namespace, _, _ := strings.Cut(rest, ".")
	s, err := w.Kube.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return "http://" + net.JoinHostPort(s.Spec.ClusterIP, "80") + b.Status.Address.URL.Path, nil
}

// publish an event that invokes the steady function, and return its id and the answer's
// status.
func (w *world) publish(ctx context.Context) (id string, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.ingress, strings.NewReader("{}"))
	if err != nil {
		return "", 0, err
	}
	id = fmt.Sprint(time.Now().UnixNano())
	r.Header = http.Header{
		"Content-Type": {"application/json"}, "Ce-Specversion": {"1.0"}, "Ce-Id": {id}, "Ce-Source": {"/fault"},
		"Ce-Type": {"io.knative.lambda.invoke.async"}, "Ce-Subject": {w.namespace + "/" + w.steady.Name},
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", 0, err
	}
	response.Body.Close()
	return id, response.StatusCode, nil
}

// delivers reports whether an event is accepted and delivered.
func (w *world) delivers(ctx context.Context) error {
	id, status, err := w.publish(ctx)
	if err != nil {
		return err
	}
	if status != http.StatusAccepted {
		return fmt.Errorf("the Broker answered %d", status)
	}
	lost, err := w.await(ctx, []string{id}, 5*time.Second)
	if err == nil && len(lost) > 0 {
		err = errors.New("an event was not delivered within 5s")
	}
	return err
}

// refuses reports whether an event is refused so that its sender retries.
func (w *world) refuses(ctx context.Context) error {
	_, status, err := w.publish(ctx)
	if err == nil && status != http.StatusServiceUnavailable {
		err = fmt.Errorf("the Broker answered %d, want 503", status)
	}
	return err
}

// lost counts events that have not been delivered.
func (w *world) lost(ctx context.Context, accepted []string) (int, error) {
	lost, err := w.await(ctx, accepted, redelivery)
	return len(lost), err
}

// await events, and return those that have not been delivered in time.
func (w *world) await(ctx context.Context, ids []string, within time.Duration) (lost []string, err error) {
	text, err := json.Marshal(map[string]any{"ids": ids})
	if err != nil {
		return nil, err
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, within, true, func(ctx context.Context) (bool, error) {
		answer, err := w.Call(ctx, w.steady.Status.URL, string(text))
		if ctx.Err() != nil {
			return false, nil //nolint:nilerr // what the call before has found counts
		}
		if err == nil {
			err = json.Unmarshal([]byte(answer.Body), &lost)
		}
		last = err
		return err == nil && len(lost) == 0, nil
	})
	if err != nil && last == nil {
		return lost, nil
	}
	return lost, last
}

// stream of events, of which those count that are accepted.
type stream struct {
	end  context.CancelFunc
	done sync.WaitGroup

	accepted []string
}

func (w *world) startStream(ctx context.Context) *stream {
	ctx, end := context.WithCancel(ctx)
	s := &stream{end: end}
	s.done.Go(func() {
		ticker := time.NewTicker(eventPace)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if id, status, err := w.publish(context.WithoutCancel(ctx)); err == nil && status == http.StatusAccepted {
				s.accepted = append(s.accepted, id)
			}
		}
	})
	return s
}

// stop the stream and return what was accepted.
func (s *stream) stop() []string {
	s.end()
	s.done.Wait()
	return s.accepted
}

// deleteQueues of the steady function's Triggers, as an administrator with RabbitMQ's
// administrator might.
func (w *world) deleteQueues(ctx context.Context) error {
	m, err := management.New(os.Getenv("LAMBDA_RABBITMQ_MANAGEMENT_URL"), os.Getenv("LAMBDA_RABBITMQ_USERNAME"), os.Getenv("LAMBDA_RABBITMQ_PASSWORD"), "")
	if err != nil {
		return err
	}
	const virtualHost = "knative-lambda"
	all, err := m.Queues(ctx, virtualHost)
	if err != nil {
		return err
	}
	deleted := 0
	for _, name := range all {
		if strings.HasPrefix(name, "lambda.t."+w.namespace+".") {
			if err := m.Delete(ctx, "queues", virtualHost, name); err != nil {
				return err
			}
			deleted++
		}
	}
	if deleted == 0 {
		return fmt.Errorf("namespace %s has no queue", w.namespace)
	}
	return nil
}

// setUp runs the Job again that prepares RabbitMQ.
func (w *world) setUp(args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		template := w.setupJob.Spec.Template.DeepCopy()
		template.Labels = nil // those of the other Job's controller
		template.Spec.Containers[0].Args = args
		jobs := w.Kube.BatchV1().Jobs(operatorNamespace)
		j, err := jobs.Create(ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{GenerateName: w.setupJob.Name + "-"},
			Spec: batchv1.JobSpec{TTLSecondsAfterFinished: w.setupJob.Spec.TTLSecondsAfterFinished, Template: *template}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		return wait.PollUntilContextTimeout(ctx, time.Second, time.Minute, true, func(ctx context.Context) (bool, error) {
			now, err := jobs.Get(ctx, j.Name, metav1.GetOptions{})
			return err == nil && now.Status.Succeeded > 0, err
		})
	}
}

// killReplica of the broker.
func (w *world) killReplica(ctx context.Context) error {
	pods, err := w.Kube.CoreV1().Pods(operatorNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app=knative-lambda-broker"})
	if err != nil {
		return err
	}
	if len(pods.Items) == 0 {
		return errors.New("the broker has no replica")
	}
	return w.KillPod(ctx, &pods.Items[0])
}
