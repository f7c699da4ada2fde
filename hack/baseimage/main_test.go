package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestRun(t *testing.T) {
	if _, err := os.Stat(certificates); err != nil {
		t.Skip("this machine has no CA certificates")
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	image := strings.TrimPrefix(server.URL, "http://") + "/base"
	var first, again bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &again} {
		if err := run(t.Context(), []string{image, "linux/amd64", "linux/arm64/v8"}, out); err != nil {
			t.Fatal(err)
		}
	}
	if first.String() != again.String() {
		t.Errorf("the second time it is another image: %s and %s", &first, &again)
	}
	ref, err := name.NewDigest(strings.TrimSpace(first.String()))
	if err != nil {
		t.Fatal(err)
	}
	for _, platform := range []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64", Variant: "v8"}} {
		got, err := remote.Image(ref, remote.WithPlatform(platform))
		if err != nil {
			t.Fatal(err)
		}
		config, err := got.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Architecture != platform.Architecture || config.Variant != platform.Variant || config.Config.User != "65532:65532" {
			t.Errorf("the configuration for %s is %+v", platform, config)
		}
		if diff := cmp.Diff([]string{"etc/passwd", "etc/group", "etc/ssl/certs/ca-certificates.crt", "tmp"}, names(t, got)); diff != "" {
			t.Errorf("the image for %s has other files (-want, +got): %s", platform, diff)
		}
	}
}

func names(t *testing.T, image v1.Image) []string {
	t.Helper()
	content := mutate.Extract(image)
	defer content.Close()
	var names []string
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}

func TestRunRefuses(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "usage:"},
		{[]string{"base"}, "usage:"},
		{[]string{"BASE:", "linux/amd64"}, "could not parse reference"},
		{[]string{"localhost:1/base", "amd64"}, `platform: "amd64" is not like linux/amd64`},
		{[]string{"localhost:1/base", "windows/amd64"}, `platform: "windows/amd64"`},
	} {
		if err := run(t.Context(), test.args, io.Discard); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v is refused with %v, want an error that says %q", test.args, err, test.want)
		}
	}
}
