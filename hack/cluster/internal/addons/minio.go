package addons

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

const (
	minio        = "github.com/minio/minio"
	minioAddress = env.BridgeIP + ":19000"
	minioUser    = "lambda"
)

// upMinIO runs the object store where this machine and pods reach it.
func upMinIO(ctx context.Context, e *env.Env) error {
	bin, err := e.Build(ctx, "minio", "", minio)
	if err != nil {
		return err
	}
	password, err := e.Secret("minio")
	if err != nil {
		return err
	}
	data := e.Path("minio", "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	err = e.Start(env.Process{Name: "minio", Dir: e.Path("minio"),
		Env:  []string{"MINIO_ROOT_USER=" + minioUser, "MINIO_ROOT_PASSWORD=" + password, "MINIO_BROWSER=off", "MINIO_UPDATE=off"},
		Args: []string{filepath.Join(bin, "minio"), "server", "--quiet", "--address", minioAddress, "--certs-dir", e.Path("minio", "certs"), data}})
	if err != nil {
		return err
	}
	if err := e.Wait(ctx, "minio", "the object store", 30*time.Second, func(ctx context.Context) error {
		return e.Healthy(ctx, "minio", "http://"+minioAddress+"/minio/health/ready")
	}); err != nil {
		return err
	}
	return e.Export("minio", "LAMBDA_MINIO_ENDPOINT=http://"+minioAddress, "LAMBDA_MINIO_ACCESS_KEY="+minioUser, "LAMBDA_MINIO_SECRET_KEY="+password)
}
