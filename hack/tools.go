//go:build tools

// Package hack pins what the generators and the tree need before code imports it.
package hack

import (
	_ "github.com/cloudevents/sdk-go/v2"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/google/go-containerregistry/pkg/authn/kubernetes"
	_ "github.com/google/go-containerregistry/pkg/v1/remote"
	_ "github.com/kelseyhightower/envconfig"
	_ "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	_ "go.opentelemetry.io/otel"
	_ "go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	_ "go.opentelemetry.io/otel/exporters/prometheus"
	_ "go.opentelemetry.io/otel/sdk/metric"
	_ "go.uber.org/zap"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/sys/unix"
	_ "k8s.io/client-go/kubernetes"
	_ "k8s.io/code-generator"
	_ "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	_ "knative.dev/eventing/pkg/apis/duck/v1"
	_ "knative.dev/eventing/pkg/apis/eventing/v1"
	_ "knative.dev/pkg/apiextensions/storageversion/cmd/migrate"
	_ "knative.dev/pkg/client/injection/kube/informers/factory/fake"
	_ "knative.dev/pkg/codegen/cmd/injection-gen"
	_ "knative.dev/pkg/configmap/hash-gen"
	_ "knative.dev/pkg/depcheck"
	_ "knative.dev/pkg/injection/sharedmain"
	_ "knative.dev/pkg/reconciler/testing"
	_ "knative.dev/serving/pkg/apis/serving/v1"
	_ "knative.dev/serving/pkg/client/injection/informers/serving/v1/service/fake"
	_ "sigs.k8s.io/yaml"
)
