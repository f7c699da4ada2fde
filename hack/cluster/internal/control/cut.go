package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

// cutChain holds the rules that keep pods from the API server: CNI- in its name has
// down remove it.
const cutChain = "CNI-LAMBDA-CUT"

// Cut keeps the pods of a selector from the API server, in both directions and without
// a word, as a network that has broken does. Pods that come later are not kept from it.
func Cut(ctx context.Context, e *env.Env, namespace, selector string) error {
	out, err := e.Kubectl(ctx, "", "get", "pods", "-n", namespace, "-l", selector, "-o", "jsonpath={.items[*].status.podIP}")
	if err != nil {
		return err
	}
	addresses := strings.Fields(out)
	if len(addresses) == 0 {
		return fmt.Errorf("namespace %s has no running pod with %s", namespace, selector)
	}
	if err := mend(ctx, e); err != nil {
		return err
	}
	script, err := cutRules(addresses)
	if err != nil {
		return err
	}
	_, err = e.Command(ctx, "", nil, strings.NewReader(script), "iptables-restore", "--noflush")
	return err
}

// cutRules are the input of iptables-restore. The API server is a process of the
// machine, so what goes there arrives by INPUT; connections that are open are cut, too.
func cutRules(addresses []string) (string, error) {
	var out strings.Builder
	out.WriteString("*filter\n:" + cutChain + " - [0:0]\n-I INPUT 1 -j " + cutChain + "\n-I OUTPUT 1 -j " + cutChain + "\n")
	for _, a := range addresses {
		if _, err := netip.ParseAddr(a); err != nil {
			return "", fmt.Errorf("the address of a pod: %w", err)
		}
		out.WriteString("-A " + cutChain + " -p tcp -s " + a + " --dport " + apiPort + " -j DROP\n")
		out.WriteString("-A " + cutChain + " -p tcp -d " + a + " --sport " + apiPort + " -j DROP\n")
	}
	out.WriteString("COMMIT\n")
	return out.String(), nil
}

// apiPort of the API server.
var apiPort = env.APIServer[strings.LastIndex(env.APIServer, ":")+1:]

// Mend lets through what Cut keeps from the API server.
func Mend(ctx context.Context, e *env.Env) error {
	if _, err := os.Stat(e.Run); err != nil {
		return errors.New("the local cluster is down")
	}
	return mend(ctx, e)
}

func mend(ctx context.Context, e *env.Env) error {
	saved, err := e.Command(ctx, "", nil, nil, "iptables-save", "-t", "filter")
	if err != nil || !strings.Contains(saved, ":"+cutChain+" ") {
		return err
	}
	script := "*filter\n-D INPUT -j " + cutChain + "\n-D OUTPUT -j " + cutChain + "\n-F " + cutChain + "\n-X " + cutChain + "\nCOMMIT\n"
	_, err = e.Command(ctx, "", nil, strings.NewReader(script), "iptables-restore", "--noflush")
	return err
}
