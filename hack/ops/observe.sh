#!/usr/bin/env bash
# What the operator tells of itself: observe.sh metrics|alerts. COMPONENT is whose
# metrics, controller by default; PROMETHEUS is the Service that knows the alerts.
source "$(dirname "$0")/lib.sh"
use_kubectl

# ask a Service over the API server: ask NAMESPACE SERVICE:PORT PATH
ask() { kubectl get --raw "/api/v1/namespaces/$1/services/$2/proxy/$3"; }

case ${1:-} in
metrics)
  component=${COMPONENT:-controller}
  case $component in
  controller | webhook | receiver | broker) ;;
  *) die "COMPONENT: \"$component\" is none, give controller, webhook, receiver or broker" ;;
  esac
  service=knative-lambda-$component
  # Flagger's Service of the receiver has no metrics.
  if kubectl get service -n "$namespace" "$service-metrics" >/dev/null 2>&1; then service+=-metrics; fi
  ask "$namespace" "$service:http-metrics" metrics
  ;;
alerts)
  prometheus=${PROMETHEUS:-monitoring/prometheus-operated:9090}
  [[ $prometheus =~ ^[a-z0-9-]+/[a-z0-9-]+:[a-z0-9-]+$ ]] || die "PROMETHEUS: \"$prometheus\" is not like namespace/service:port"
  command -v jq >/dev/null || die "jq is missing: install it with your system's packages"
  answer=$(ask "${prometheus%%/*}" "${prometheus#*/}" api/v1/alerts) ||
    die "Prometheus does not answer at $prometheus: set PROMETHEUS to namespace/service:port"
  jq -r '[.data.alerts[] | select(.labels.alertname | startswith("KnativeLambda"))]
    | if length == 0 then "no alert" else .[] | "\(.state)\t\(.labels.alertname)\t\(.annotations.summary // "")" end' <<<"$answer"
  ;;
*) die "usage: observe.sh metrics|alerts" ;;
esac
