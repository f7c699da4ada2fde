#!/usr/bin/env bash
# Writes everything that is generated: deep copies, clients, listers, informers,
# injection with its reconcilers, the CRDs, the checksums of the configuration's
# examples, the module that functions in Go are built with, the documentation of events,
# metrics and the API, and the dashboards. The tools are pinned by go.mod and by
# third_party/controller-gen/go.mod.
set -euo pipefail
cd "$(dirname "$0")/.."

module=$(go list -m)
apis=$module/pkg/apis/lambda/v1alpha1
client=$module/pkg/client
boilerplate=$PWD/hack/boilerplate.go.txt
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT

echo "Building the generators"
go build -o "$tools/" \
  k8s.io/code-generator/cmd/{client,deepcopy,informer,lister}-gen knative.dev/pkg/codegen/cmd/injection-gen
(cd third_party/controller-gen && go build -o "$tools/" sigs.k8s.io/controller-tools/cmd/controller-gen)

# Generators load the whole package and stumble over what they have yet to write.
rm -rf pkg/client
find pkg/apis -name 'zz_generated.*' -delete

echo "Generating deep copies"
"$tools/deepcopy-gen" --go-header-file "$boilerplate" --output-file zz_generated.deepcopy.go "$apis"

echo "Generating clients"
"$tools/client-gen" --go-header-file "$boilerplate" --clientset-name versioned --input-base "" --input "$apis" \
  --output-dir pkg/client/clientset --output-pkg "$client/clientset"

echo "Generating listers and informers"
"$tools/lister-gen" --go-header-file "$boilerplate" --output-dir pkg/client/listers --output-pkg "$client/listers" "$apis"
"$tools/informer-gen" --go-header-file "$boilerplate" --output-dir pkg/client/informers --output-pkg "$client/informers" \
  --versioned-clientset-package "$client/clientset/versioned" --listers-package "$client/listers" "$apis"

echo "Generating injection"
"$tools/injection-gen" --go-header-file "$boilerplate" --output-dir pkg/client/injection --output-package "$client/injection" \
  --versioned-clientset-package "$client/clientset/versioned" \
  --external-versions-informers-package "$client/informers/externalversions" \
  --listers-package "$client/listers" --input-dirs "$apis"

echo "Generating CRDs"
"$tools/controller-gen" crd:maxDescLen=400 paths=./pkg/apis/lambda/... output:crd:dir=config/core/300-resources
(cd config/core/300-resources && for crd in lambda.knative.io_*.yaml; do
  name=${crd#lambda.knative.io_}
  mv "$crd" "${name%s.yaml}.yaml"
done)
go run ./hack/crdfilters config/core/300-resources/lambda{function,agent}.yaml

echo "Writing checksums of the configuration's examples"
go run ./hack/checksum config/core/configmaps/*.yaml

echo "Writing the module that functions in Go are built with"
hack/update-sdk.sh
echo "Writing the documentation of events"
go run ./hack/eventdocs >docs/events.md.new
mv docs/events.md.new docs/events.md
echo "Writing the documentation of metrics"
go run ./hack/metricdocs >docs/metrics.md.new
mv docs/metrics.md.new docs/metrics.md
echo "Writing the dashboards"
go run ./hack/dashboards config/monitoring

echo "Writing the reference of the API"
go run ./hack/apidocs config/core/300-resources >docs/api.md.new
mv docs/api.md.new docs/api.md

gofmt -l pkg/client pkg/apis
