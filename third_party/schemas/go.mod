// The custom resource definitions that test/manifests holds the manifests of config/ to.
// Nothing of these modules is compiled.
module github.com/brunovlucena/knative-lambda-operator/third_party/schemas

go 1.25.0

require (
	github.com/fluxcd/flagger v1.41.0
	github.com/fluxcd/kustomize-controller v1.7.3
	github.com/fluxcd/source-controller v1.7.3
	github.com/grafana/k6-operator v0.0.19
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.1.0
)
