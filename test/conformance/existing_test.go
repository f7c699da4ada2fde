//go:build conformance

package conformance

import (
	"sync"
	"testing"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/brunovlucena/knative-lambda-operator/test"
	"github.com/brunovlucena/knative-lambda-operator/test/existing"
)

// heard collects the warnings of an API server.
type heard struct {
	mu       sync.Mutex
	warnings []string
}

func (h *heard) HandleWarningHeader(_ int, _, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.warnings = append(h.warnings, text)
}

// TestExistingManifests: what people have written is admitted as it is, as kubectl apply
// --dry-run=server asks, with the warnings that the manifest itself lists. The log shows
// them.
func TestExistingManifests(t *testing.T) {
	t.Parallel()
	manifests, err := existing.Load("testdata/existing")
	if err != nil {
		t.Fatal(err)
	}
	namespace := clients.Namespace(t.Context(), t)
	for _, m := range manifests {
		t.Run(m.Name, func(t *testing.T) {
			o, err := test.Parse(m.Text)
			if err != nil {
				t.Fatal(err)
			}
			o.SetNamespace(namespace)
			said := &heard{}
			listening := *clients
			listening.Config = rest.CopyConfig(clients.Config)
			listening.Config.WarningHandler = said
			if listening.Dynamic, err = dynamic.NewForConfig(listening.Config); err != nil {
				t.Fatal(err)
			}
			if _, err := listening.Admit(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			for _, w := range said.warnings {
				t.Log("Warning:", w)
			}
			if missing, unexpected := m.Missing(said.warnings); len(missing)+len(unexpected) > 0 {
				t.Errorf("missing warnings: %q\nunexpected warnings: %q", missing, unexpected)
			}
		})
	}
}
