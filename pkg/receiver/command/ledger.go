package command

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

const (
	// remembered commands of a namespace, and of a function by itself.
	remembered           = 200
	rememberedByFunction = 16
	ledgerPrefix         = "commands-"
	ledgerKey            = "answers"
)

// keyOf a command: CloudEvents are the same where source and id are.
func keyOf(e *event.Event) string {
	sum := sha256.Sum256([]byte(e.Source() + "\x00" + e.ID()))
	return hex.EncodeToString(sum[:8])
}

// ledger remembers what commands were answered, in a ConfigMap for each namespace,
// in the operator's own. A command that comes again gets the same answer and has no
// second effect, whatever became of its function and whichever receiver gets it.
//
// A command that was carried out and, because the receiver died at that moment, not
// written here is found by the function's annotation, which was written in one with
// the change.
type ledger struct {
	kube      kubernetes.Interface
	namespace string
}

type answered struct {
	Key    string          `json:"key"`
	Answer json.RawMessage `json:"answer"`
}

func (l *ledger) read(ctx context.Context, namespace string) (*corev1.ConfigMap, []answered, error) {
	cm, err := l.kube.CoreV1().ConfigMaps(l.namespace).Get(ctx, ledgerPrefix+namespace, metav1.GetOptions{})
	if apierrs.IsNotFound(err) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("reading which commands were carried out: %w", err)
	}
	var all []answered
	if err := json.Unmarshal([]byte(cm.Data[ledgerKey]), &all); err != nil {
		return nil, nil, fmt.Errorf("ConfigMap %s/%s is damaged; delete it, and commands of before may be carried out again: %w", l.namespace, cm.Name, err)
	}
	return cm, all, nil
}

// find returns what a command was answered before; nil where it is new.
func (l *ledger) find(ctx context.Context, namespace, key string) (*event.Event, error) {
	_, all, err := l.read(ctx, namespace)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(a answered) bool { return a.Key == key })
	if i < 0 {
		return nil, nil
	}
	e := event.New()
	return &e, json.Unmarshal(all[i].Answer, &e)
}

// record remembers what a command was answered.
func (l *ledger) record(ctx context.Context, namespace, key string, answer *event.Event) error {
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	client := l.kube.CoreV1().ConfigMaps(l.namespace)
	err = retry.OnError(retry.DefaultBackoff, func(err error) bool { return apierrs.IsConflict(err) || apierrs.IsAlreadyExists(err) }, func() error {
		cm, all, err := l.read(ctx, namespace)
		if err != nil {
			return err
		}
		all = append(slices.DeleteFunc(all, func(a answered) bool { return a.Key == key }), answered{key, text})
		all = all[max(0, len(all)-remembered):]
		list, err := json.Marshal(all)
		if err != nil {
			return err
		}
		if cm == nil {
			cm, err := l.make(ctx, namespace)
			if err != nil {
				return err
			}
			cm.Data = map[string]string{ledgerKey: string(list)}
			_, err = client.Create(ctx, cm, metav1.CreateOptions{})
			return err
		}
		cm.Data = map[string]string{ledgerKey: string(list)}
		_, err = client.Update(ctx, cm, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("recording that the command was carried out: %w", err)
	}
	return nil
}

// make returns the ConfigMap of a namespace, which goes with it.
func (l *ledger) make(ctx context.Context, namespace string) (*corev1.ConfigMap, error) {
	ns, err := l.kube.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: l.namespace, Name: ledgerPrefix + namespace,
		Labels:          map[string]string{lambda.ManagedByLabelKey: lambda.ManagedBy},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Namespace", Name: ns.Name, UID: ns.UID}},
	}}, nil
}

// carriedOut tells whether a function's annotation has the command.
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
