//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/plugin"
)

// pathOf is the path at the receiver that the operator makes for a target, by the key of
// the cluster.
func pathOf(ctx context.Context, t *testing.T, target receiverpath.Target) string {
	t.Helper()
	secret, err := clients.Kube.CoreV1().Secrets(operatorNamespace).Get(ctx, keyring.SecretName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.New(secret.Data)
	if err != nil {
		t.Fatal(err)
	}
	return target.Path(keys)
}

// agentPath is that of an agent.
func agentPath(ctx context.Context, t *testing.T, purpose keyring.Purpose, namespace, agent string) string {
	t.Helper()
	return pathOf(ctx, t, receiverpath.Target{Purpose: purpose, Kind: receiverpath.Agent, Namespace: namespace, Name: agent})
}

// kubectlLambda runs the plugin to its end.
func kubectlLambda(ctx context.Context, namespace string, args ...string) (string, error) {
	var out, errOut bytes.Buffer
	err := kubectlLambdaTo(ctx, &out, &errOut, namespace, args...)
	return out.String() + errOut.String(), err
}

// kubectlLambdaTo runs the plugin; an interrupt ends its context.
func kubectlLambdaTo(ctx context.Context, out, errOut io.Writer, namespace string, args ...string) error {
	cmd := plugin.NewCommand(genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: errOut})
	cmd.SetArgs(append([]string{"--kubeconfig", os.Getenv("KUBECONFIG"), "--namespace", namespace}, args...))
	return cmd.ExecuteContext(ctx)
}
