// Package setup prepares RabbitMQ for the event plane: a virtual host, a user for each
// program with the least rights that it needs, and bounds of the queues. It needs an
// administrator, which no program of the event plane is given.
package setup

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/management"
	keys "github.com/brunovlucena/knative-lambda-operator/internal/broker/secret"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// SecretPrefix of the Secrets that are written; the name of the role follows.
const SecretPrefix = "knative-lambda-rabbitmq-"

// Names of the policies that bound queues: those of Triggers, and those of dead letters
// until the controller has set their own bounds.
const (
	policyName           = "lambda-triggers"
	deadLetterPolicyName = "lambda-dead-letters"
)

// Bounds of dead letters without a policy of their own: the defaults of config-eventing.
const (
	deadLetterTTL       = 7 * 24 * time.Hour
	deadLetterMaxLength = 10_000
)

// permissions of a user in the virtual host: regular expressions of names of queues and
// exchanges. The default exchange is called amq.default.
type permissions struct {
	Configure string `json:"configure"`
	Write     string `json:"write"`
	Read      string `json:"read"`
}

// role is a user of RabbitMQ.
type role struct {
	name        string
	tags        string
	permissions permissions
	// manages says that the program needs the management API.
	manages bool
}

// roles of the programs. Only topology declares and deletes; it sets policies, too.
var roles = []role{
	{name: "topology", tags: "policymaker", manages: true, permissions: permissions{Configure: `^lambda\.`, Write: `^lambda\.`, Read: `^lambda\.`}},
	{name: "plane", permissions: permissions{Configure: `^$`, Write: `^(lambda\.events|amq\.default)$`, Read: `^lambda\.`}},
	{name: "receiver", permissions: permissions{
		Configure: `^(lock\.)?lambda\.dlq\.`, Write: `^((lock\.)?lambda\.dlq\.|amq\.default$)`,
		Read: `^((lock\.)?lambda\.dlq\.|lambda\.outcomes$)`,
	}},
}

// Options of Run.
type Options struct {
	Management *management.Client
	Kube       kubernetes.Interface
	// Namespace that the Secrets are written into.
	Namespace string
	// VirtualHost of the installation. Users are called after it.
	VirtualHost string
	// Host and Port of AMQP, for the Secrets.
	Host, Port string
	// CA of RabbitMQ's certificate in PEM, for the Secrets; empty for none.
	CA []byte
	// MaxLength is the number of events that the queue of one Trigger keeps, and
	// MaxLengthBytes of their bodies together.
	MaxLength, MaxLengthBytes int64
	// Rotate makes new users. The old ones stay, for the connections that there are, until
	// Run is called without Rotate.
	Rotate bool
}

// Run may be repeated: it puts right what has changed.
func Run(ctx context.Context, o Options) error {
	if err := o.Management.Put(ctx, map[string]string{}, "vhosts", o.VirtualHost); err != nil {
		return fmt.Errorf("failed to make the virtual host: %w", err)
	}
	for _, r := range roles {
		if err := o.user(ctx, r); err != nil {
			return fmt.Errorf("failed to set up the user of role %s: %w", r.name, err)
		}
	}
	return o.bound(ctx)
}

// bound the queues.
func (o *Options) bound(ctx context.Context) error {
	for name, p := range map[string]management.Policy{
		policyName: {
			Pattern:    `^lambda\.t\.`,
			Definition: map[string]any{"max-length": o.MaxLength, "max-length-bytes": o.MaxLengthBytes},
		},
		deadLetterPolicyName: {
			Pattern:    `^lambda\.dlq\.`,
			Definition: map[string]any{"message-ttl": deadLetterTTL.Milliseconds(), "max-length": deadLetterMaxLength, "overflow": "drop-head"},
		},
	} {
		p.ApplyTo = "queues"
		if err := o.Management.Put(ctx, p, "policies", o.VirtualHost, name); err != nil {
			return fmt.Errorf("failed to set the bounds of queues: %w", err)
		}
	}
	return nil
}

// user of a role, and its Secret. The Secret is written when the user works.
func (o *Options) user(ctx context.Context, r role) error {
	secrets := o.Kube.CoreV1().Secrets(o.Namespace)
	secret, err := secrets.Get(ctx, SecretPrefix+r.name, metav1.GetOptions{})
	exists := !apierrs.IsNotFound(err)
	if err != nil && exists {
		return err
	}
	prefix := o.VirtualHost + "-" + r.name + "-"
	username, password := prefix+"1", rand.Text()
	if exists {
		number, ok := numberOf(prefix, string(secret.Data[keys.Username]))
		switch {
		case !ok:
			return fmt.Errorf("secret %s/%s: username %q is not of virtual host %s: delete the Secret to make a new one",
				o.Namespace, secret.Name, secret.Data[keys.Username], o.VirtualHost)
		case o.Rotate:
			username = prefix + strconv.Itoa(number+1)
		default:
			username, password = string(secret.Data[keys.Username]), string(secret.Data[keys.Password])
		}
	}
	if err := o.Management.Put(ctx, map[string]string{"password": password, "tags": r.tags}, "users", username); err != nil {
		return err
	}
	if err := o.Management.Put(ctx, r.permissions, "permissions", o.VirtualHost, username); err != nil {
		return err
	}
	if !exists {
		_, err = secrets.Create(ctx, o.secret(r, username, password), metav1.CreateOptions{})
	} else {
		secret = secret.DeepCopy()
		secret.Data = o.secret(r, username, password).Data
		_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
	}
	if err != nil || o.Rotate {
		return err
	}
	return o.retire(ctx, prefix, username)
}

func (o *Options) secret(r role, username, password string) *corev1.Secret {
	data := map[string][]byte{
		keys.Host: []byte(o.Host), keys.Port: []byte(o.Port), keys.VirtualHost: []byte(o.VirtualHost), keys.Username: []byte(username), keys.Password: []byte(password),
	}
	if len(o.CA) > 0 {
		data[keys.CA] = o.CA
	}
	if r.manages {
		data[keys.Management] = []byte(o.Management.URL)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: SecretPrefix + r.name, Labels: map[string]string{lambda.ManagedByLabelKey: lambda.ManagedBy}},
		Data:       data,
	}
}

// retire the users of earlier rotations. RabbitMQ closes their connections.
func (o *Options) retire(ctx context.Context, prefix, current string) error {
	var all []struct {
		Name string `json:"name"`
	}
	if err := o.Management.Get(ctx, &all, "users"); err != nil {
		return err
	}
	for _, u := range all {
		if _, ok := numberOf(prefix, u.Name); !ok || u.Name == current {
			continue
		}
		if err := o.Management.Delete(ctx, "users", u.Name); err != nil && !management.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// numberOf a user of the prefix, counted by rotations.
func numberOf(prefix, username string) (int, bool) {
	text, ok := strings.CutPrefix(username, prefix)
	n, err := strconv.Atoi(text)
	return n, ok && err == nil && n > 0
}
