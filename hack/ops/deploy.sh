#!/usr/bin/env bash
# Builds an environment and applies it: deploy.sh ENV. With --diff behind it, it shows
# what that would change, and pushes nothing.
source "$(dirname "$0")/lib.sh"
use_environment "${1:-}"
use_kubectl
need_kind services.serving.knative.dev "Knative Serving"
need_kind servers.policy.linkerd.io Linkerd
receiver=
if [[ $environment == studio ]]; then
  need_kind canaries.flagger.app Flagger
  need_kind httproutes.gateway.networking.k8s.io "The Gateway API"
  need_kind prometheusrules.monitoring.coreos.com "The Prometheus operator"
  receiver=knative-lambda-receiver
fi

manifests=$(mktemp -d)
trap 'rm -rf "$manifests"' EXIT

if [[ ${2:-} == --diff ]]; then
  render "config/overlays/$environment" --push=false >"$manifests/operator.yaml"
  status=0
  kubectl diff --server-side --force-conflicts -f "$manifests/operator.yaml" || status=$?
  ((status < 2)) || die "kubectl diff failed"
  exit 0
fi

# Which pods a Deployment has cannot be changed.
if kubectl get deployment -n "$namespace" knative-lambda-receiver >/dev/null 2>&1 &&
  [[ $(kubectl get deployment -n "$namespace" knative-lambda-receiver -o 'jsonpath={.spec.selector.matchLabels.name}') != "$receiver" ]]; then
  die "The receiver is that of another environment. Remove it first, with no receiver until the new one is there:
  kubectl delete deployment -n $namespace knative-lambda-receiver"
fi

say "Building $environment"
render "config/overlays/$environment" >"$manifests/operator.yaml"
say "Applying it"
# The webhook of an older version refuses configuration that it does not know.
for attempt in {2..0}; do
  kubectl apply --server-side --force-conflicts -f "$manifests/operator.yaml" >/dev/null && break
  ((attempt)) || die "The operator cannot be applied"
  await_webhook
done
await_webhook
kubectl rollout status -n "$namespace" deployment/knative-lambda-controller --timeout=180s
kubectl rollout status -n "$namespace" deployment/knative-lambda-broker --timeout=180s
if [[ $environment == studio ]]; then
  say "The receiver is Flagger's to roll out: make canary-status"
else
  kubectl rollout status -n "$namespace" deployment/knative-lambda-receiver --timeout=180s
  go run ./hack/kustomize config/overlays/pro/samples | kubectl apply -f -
fi
