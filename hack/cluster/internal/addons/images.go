package addons

import (
	"context"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

const (
	passwd       = "root:x:0:0:root:/root:/bin/sh\nnonroot:x:65532:65532:nonroot:/tmp:/bin/false\n"
	group        = "root:x:0:\nnonroot:x:65532:\n"
	certificates = "/etc/ssl/certs/ca-certificates.crt"
)

// upImages pushes the images that everything else is made from.
func upImages(ctx context.Context, e *env.Env) error {
	if err := e.Apt(ctx, map[string]string{certificates: "ca-certificates"}); err != nil {
		return err
	}
	roots, err := os.ReadFile(certificates)
	if err != nil {
		return err
	}
	base, err := push(ctx, e, "base", env.Key(passwd, string(roots)), v1.Config{User: "65532:65532", Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SSL_CERT_FILE=" + certificates}},
		func() (v1.Layer, error) {
			return layerOf(map[string]file{
				"etc/passwd": {[]byte(passwd), 0o644}, "etc/group": {[]byte(group), 0o644},
				"etc/ssl/certs/ca-certificates.crt": {roots, 0o644}, "tmp/": {nil, 0o1777},
			})
		})
	if err != nil {
		return err
	}
	if err := tagLatest(ctx, base); err != nil {
		return err
	}
	pause, err := pushPause(ctx, e)
	if err != nil {
		return err
	}
	return tagLatest(ctx, pause)
}

func pushPause(ctx context.Context, e *env.Env) (string, error) {
	source, err := os.ReadFile(filepath.Join(e.Root, "hack/cluster/pause/main.go"))
	if err != nil {
		return "", err
	}
	return push(ctx, e, "pause", env.Key(string(source)), v1.Config{User: "65532:65532", Entrypoint: []string{"/pause"}}, func() (v1.Layer, error) {
		temp, err := os.MkdirTemp("", "pause")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(temp)
		out := filepath.Join(temp, "pause")
		if _, err := e.Command(ctx, e.Root, []string{"CGO_ENABLED=0"}, nil, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, "./hack/cluster/pause"); err != nil {
			return nil, err
		}
		program, err := os.ReadFile(out)
		if err != nil {
			return nil, err
		}
		return layerOf(map[string]file{"pause": {program, 0o755}})
	})
}

const executor = "github.com/chainguard-dev/kaniko/cmd/executor"

// upKaniko pushes the executor on an otherwise empty root file system.
func upKaniko(ctx context.Context, e *env.Env) error {
	reference, err := kanikoImage(ctx, e)
	if err != nil {
		return err
	}
	return e.Write("images/kaniko", reference)
}

func kanikoImage(ctx context.Context, e *env.Env) (string, error) {
	key, err := e.ModuleKey("kaniko")
	if err != nil {
		return "", err
	}
	config := v1.Config{Entrypoint: []string{"/kaniko/executor"}, WorkingDir: "/workspace", Env: []string{
		"HOME=/root", "USER=root", "PATH=/usr/local/bin:/kaniko", "SSL_CERT_DIR=/kaniko/ssl/certs", "DOCKER_CONFIG=/kaniko/.docker"}}
	return push(ctx, e, "kaniko", key, config, func() (v1.Layer, error) {
		bin, err := e.Build(ctx, "kaniko", "", executor)
		if err != nil {
			return nil, err
		}
		program, err := os.ReadFile(filepath.Join(bin, "executor"))
		if err != nil {
			return nil, err
		}
		roots, err := os.ReadFile(certificates)
		if err != nil {
			return nil, err
		}
		return layerOf(map[string]file{
			"kaniko/": {nil, 0o777}, "kaniko/executor": {program, 0o755}, "kaniko/.docker/": {nil, 0o777},
			"kaniko/ssl/certs/ca-certificates.crt": {roots, 0o644}, "workspace/": {nil, 0o777},
		})
	})
}

func tail(text string, most int) string {
	return text[max(0, len(text)-most):]
}
