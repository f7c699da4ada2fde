package layer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	kubeauth "github.com/google/go-containerregistry/pkg/authn/kubernetes"
	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"

	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

// GetSecret reads a Secret, live: no cache holds what is secret.
type GetSecret func(ctx context.Context, namespace, name string) (*corev1.Secret, error)

// secretError says that a Secret with credentials does not exist, and which field names it.
type secretError struct{ namespace, name, field string }

func (e *secretError) Error() string {
	return fmt.Sprintf("Secret %s/%s does not exist: create it with the registry's credentials, or change %s.", e.namespace, e.name, e.field)
}

// credentials of a build, and a name for them that does not tell them.
type credentials struct {
	authn.Keychain
	id string
}

// credentials reads the Secrets of a request: those to push with come first.
func (m *Maker) credentials(ctx context.Context, r *Request) (*credentials, error) {
	var secrets []corev1.Secret
	id := sha256.New()
	for _, ref := range []struct{ name, field string }{
		{r.PushSecret, "spec.build.pushSecretRef, or push-secret in config-build"},
		{r.PullSecret, "spec.build.imagePullSecret"},
	} {
		name := ref.name
		if name == "" {
			continue
		}
		secret, err := m.secret(ctx, r.Namespace, name)
		switch {
		case apierrs.IsNotFound(err):
			return nil, &secretError{r.Namespace, name, ref.field}
		case apierrs.IsForbidden(err):
			return nil, &source.InvalidError{Reason: source.ReasonAccessDenied,
				Message: fmt.Sprintf("The operator may not get Secret %s in namespace %s, with which it pushes and signs the image: give its ServiceAccount that right", name, r.Namespace)}
		case err != nil:
			return nil, fmt.Errorf("secret %s: %w", name, err)
		}
		text := secret.Data[corev1.DockerConfigJsonKey]
		if secret.Type != corev1.SecretTypeDockerConfigJson || !json.Valid(text) { // an error might quote the credentials
			return nil, &source.InvalidError{Reason: source.ReasonSecretInvalid, Message: fmt.Sprintf("Secret %s must be of type %s, and its key %s JSON", name, corev1.SecretTypeDockerConfigJson, corev1.DockerConfigJsonKey)}
		}
		id.Write(text)
		id.Write([]byte{0})
		secrets = append(secrets, *secret)
	}
	keychain, err := kubeauth.NewFromPullSecrets(ctx, secrets)
	if err != nil {
		return nil, &source.InvalidError{Reason: source.ReasonSecretInvalid, Message: fmt.Sprintf("Secrets %s %s hold no credentials of registries", r.PushSecret, r.PullSecret)}
	}
	return &credentials{authn.NewMultiKeychain(keychain, authn.DefaultKeychain), hex.EncodeToString(id.Sum(nil))}, nil
}
