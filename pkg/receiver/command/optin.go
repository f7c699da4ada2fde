package command

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/access"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// OptIn is the name of the ConfigMap with which a namespace lets commands in, and
// of the ServiceAccount as which they are carried out.
const OptIn = "lambda-commands"

// Audience of the tokens with which senders may prove who they are.
const Audience = "knative-lambda-receiver"

// ServiceAccount is the user as which commands of a namespace are carried out.
func ServiceAccount(namespace string) string {
	return "system:serviceaccount:" + namespace + ":" + OptIn
}

// optIn is what a namespace lets in.
type optIn struct {
	sources    []string
	identities []string
}

// parseOptIn reads a ConfigMap strictly.
func parseOptIn(cm *corev1.ConfigMap) (*optIn, error) {
	o := &optIn{}
	keys := map[string]*[]string{"sources": &o.sources, "identities": &o.identities}
	var errs []error
	for key, text := range cm.Data {
		to, ok := keys[key]
		if !ok {
			errs = append(errs, fmt.Errorf("%s: unknown key; known are identities, sources", key))
			continue
		}
		*to = strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \n\t", r) })
	}
	if len(o.sources) == 0 {
		errs = append(errs, errors.New("sources: missing; list the sources of events whose commands are carried out"))
	}
	sort.Slice(errs, func(i, j int) bool { return errs[i].Error() < errs[j].Error() })
	return o, errors.Join(errs...)
}

// allows a source: as it is listed, or as it begins where that ends in *.
func (o *optIn) allows(source string) bool {
	return slices.ContainsFunc(o.sources, func(s string) bool {
		prefix, wild := strings.CutSuffix(s, "*")
		return s == source || wild && strings.HasPrefix(source, prefix)
	})
}

// admit checks that a namespace lets a command in. The namespace's own ConfigMap
// decides, which is read for each command: it may have changed a moment ago.
func admit(ctx context.Context, kube kubernetes.Interface, reviewer *access.Reviewer, namespace, source string, r *http.Request) (*corev1.ConfigMap, error) {
	cm, err := kube.CoreV1().ConfigMaps(namespace).Get(ctx, OptIn, metav1.GetOptions{})
	if apierrs.IsNotFound(err) {
		return nil, httpapi.Errorf(http.StatusForbidden, "NotOptedIn", "namespace %s takes no commands: it has no ConfigMap %s", namespace, OptIn)
	} else if err != nil {
		return nil, fmt.Errorf("reading ConfigMap %s/%s: %w", namespace, OptIn, err)
	}
	o, err := parseOptIn(cm)
	if err != nil {
		return nil, httpapi.Errorf(http.StatusForbidden, "NotOptedIn", "namespace %s takes no commands: ConfigMap %s: %v", namespace, OptIn, err)
	}
	if !o.allows(source) {
		return nil, httpapi.Errorf(http.StatusForbidden, "SourceNotAllowed", "namespace %s takes no commands from source %q: ConfigMap %s does not list it", namespace, source, OptIn)
	}
	if len(o.identities) == 0 {
		return cm, nil
	}
	return cm, o.identify(ctx, reviewer, namespace, r)
}

// identify checks who sent a command, where the namespace wants to know.
func (o *optIn) identify(ctx context.Context, reviewer *access.Reviewer, namespace string, r *http.Request) error {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return httpapi.Errorf(http.StatusUnauthorized, "Unauthenticated", "namespace %s takes commands only with a bearer token for the audience %s", namespace, Audience)
	}
	user, err := reviewer.Token(ctx, strings.TrimSpace(token), Audience)
	switch {
	case err != nil:
		return err
	case !slices.Contains(o.identities, user.Username):
		return httpapi.Errorf(http.StatusForbidden, "IdentityNotAllowed", "namespace %s takes no commands from %q: ConfigMap %s does not list it under identities", namespace, user.Username, OptIn)
	}
	return nil
}
