package command

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

const (
	// remembered commands of a namespace, as far as they fit into maxLedger bytes,
	// and of a function by itself. Annotations may have 256 KiB together.
	remembered           = 200
	maxLedger            = 192 << 10
	rememberedByFunction = 16
)

// ledger remembers what commands were answered, in an annotation of the ConfigMap
// by which their namespace lets them in. A command that comes again gets the same
// answer and has no second effect, whatever became of its function and whichever
// receiver gets it.
//
// A command that was carried out and, because the receiver died at that moment, not
// written here is found by the function's annotation, which was written in one with
// the change.
type ledger struct {
	kube kubernetes.Interface
	in   *corev1.ConfigMap
}

type answered struct {
	Key    string          `json:"key"`
	Answer json.RawMessage `json:"answer"`
}

func (l *ledger) read() ([]answered, error) {
	text := l.in.Annotations[lambda.CommandsAnnotationKey]
	if text == "" {
		return nil, nil
	}
	var all []answered
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, httpapi.Errorf(http.StatusForbidden, "DamagedRecord", "annotation %s of ConfigMap %s/%s: %v; remove it, and commands of before may be carried out again",
			lambda.CommandsAnnotationKey, l.in.Namespace, l.in.Name, err)
	}
	return all, nil
}

// find returns what a command was answered before; nil where it is new.
func (l *ledger) find(key string) (*event.Event, error) {
	all, err := l.read()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(a answered) bool { return a.Key == key })
	if i < 0 {
		return nil, nil
	}
	return ceio.Unmarshal(all[i].Answer)
}

// record remembers what a command was answered.
func (l *ledger) record(ctx context.Context, key string, answer *event.Event) error {
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	client := l.kube.CoreV1().ConfigMaps(l.in.Namespace)
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		all, err := l.read()
		if err != nil {
			return err
		}
		patch, err := l.patch(append(slices.DeleteFunc(all, func(a answered) bool { return a.Key == key }), answered{key, text}))
		if err != nil {
			return err
		}
		_, err = client.Patch(ctx, l.in.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: FieldManager})
		if apierrs.IsConflict(err) {
			if newest, getErr := client.Get(ctx, l.in.Name, metav1.GetOptions{}); getErr == nil {
				l.in = newest
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("recording that the command was carried out: %w", err)
	}
	return nil
}

// patch writes the newest of the answers, if nobody else wrote meanwhile.
func (l *ledger) patch(all []answered) ([]byte, error) {
	all = all[max(0, len(all)-remembered):]
	for {
		list, err := json.Marshal(all)
		if err != nil {
			return nil, err
		}
		if len(list) <= maxLedger || len(all) == 1 {
			return json.Marshal(map[string]any{"metadata": map[string]any{
				"resourceVersion": l.in.ResourceVersion, "annotations": map[string]string{lambda.CommandsAnnotationKey: string(list)},
			}})
		}
		all = all[1:]
	}
}

// carriedOut reports whether a function's annotation has the command.
func carriedOut(o metav1.Object, key string) bool {
	return slices.Contains(strings.Split(o.GetAnnotations()[lambda.CommandsAnnotationKey], ","), key)
}

// with is the annotation's value with one more command.
func with(o metav1.Object, key string) string {
	var keys []string
	if o != nil {
		keys = strings.FieldsFunc(o.GetAnnotations()[lambda.CommandsAnnotationKey], func(r rune) bool { return r == ',' })
	}
	keys = append(keys, key)
	return strings.Join(keys[max(0, len(keys)-rememberedByFunction):], ",")
}
