package layer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

// TestScratch: what all builds may have on disk at once, downloaded and unpacked, fits
// the volume that the controller has for it.
func TestScratch(t *testing.T) {
	text, err := os.ReadFile("../../config/core/deployments/controller.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var d appsv1.Deployment
		if err := yaml.Unmarshal(document, &d); err != nil || d.Kind != "Deployment" {
			continue
		}
		for _, v := range d.Spec.Template.Spec.Volumes {
			if v.Name == "scratch" {
				fits(t, v)
				return
			}
		}
	}
	t.Error("the controller has no volume named scratch")
}

func fits(t *testing.T, v corev1.Volume) {
	t.Helper()
	const blocks = source.MaxFiles * 4096 // each file and folder takes a block
	if most := int64(parallel * (2*MaxSource + blocks)); v.EmptyDir == nil || v.EmptyDir.SizeLimit == nil || v.EmptyDir.SizeLimit.Value() < most {
		t.Errorf("the volume is %+v, want a sizeLimit of at least %d bytes", v.EmptyDir, most)
	}
}

// TestFetched_OverTheLimit: a source that has more than is made into a layer here takes a
// pod, whatever its store has said of its size; one that no limit lets in is refused.
func TestFetched_OverTheLimit(t *testing.T) {
	over := errors.New("over")
	for name, tt := range map[string]struct {
		fetch func(ctx context.Context, dir string) error
		pod   bool
	}{
		"files that are too large": {func(_ context.Context, dir string) error {
			return os.WriteFile(filepath.Join(dir, "f"), []byte(strings.Repeat("x", MaxSource+1)), 0o600)
		}, true},
		"more than the limit": {func(ctx context.Context, dir string) error {
			object := &source.Object{Endpoint: "http://store.test", Bucket: "b", Key: "k"}
			return source.Fetch(ctx, &source.Resolved{Request: source.Request{Object: object}, Size: MaxSource + 1}, nil, dir, MaxSource)
		}, true},
		"another error": {func(context.Context, string) error { return over }, false},
	} {
		w := &work{Request: &Request{Fetch: tt.fetch}}
		if _, err := w.fetched(t.Context(), t.TempDir()); errors.Is(err, errNeedsPod) != tt.pod || err == nil {
			t.Errorf("%s: error %v, want a pod: %v", name, err, tt.pod)
		}
	}
}
