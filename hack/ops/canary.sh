#!/usr/bin/env bash
# The roll-out of the receiver: canary.sh status|describe|promote|rollback|ab-split
source "$(dirname "$0")/lib.sh"
use_kubectl
need_kind canaries.flagger.app Flagger
name=knative-lambda-receiver
canary() { kubectl "$1" -n "$namespace" "canary/$name" "${@:2}"; }
canary get >/dev/null 2>&1 || die "There is no canary $namespace/$name: only the environment studio has one (make deploy-studio)"

# running ends the script where no roll-out is going on.
running() {
  local phase
  phase=$(canary get -o 'jsonpath={.status.phase}')
  case $phase in
  Progressing | Waiting | WaitingPromotion) ;;
  *) die "No roll-out is going on: the canary is ${phase:-not initialized}" ;;
  esac
}

await() { canary wait "--for=jsonpath={.status.phase}=$1" --timeout=15m; }

# skip_analysis is written as somebody whose fields Flux leaves alone.
skip_analysis() {
  canary patch --field-manager=flux-client-side-apply --type merge -p "{\"spec\":{\"skipAnalysis\":$1}}"
}

# gate opens or closes what Flagger asks whether to roll back.
gate() {
  kubectl exec -n flagger-system deployment/flagger-loadtester -- \
    curl -fsS -d "{\"name\":\"$name\",\"namespace\":\"$namespace\"}" "http://localhost:8080/rollback/$1" ||
    die "Flagger's load tester is missing: deployment/flagger-loadtester in flagger-system does not $1 the gate"
}

case ${1:-} in
status) canary get -o wide ;;
describe) kubectl describe -n "$namespace" "canary/$name" ;;
promote)
  running
  trap 'skip_analysis false' EXIT
  skip_analysis true
  await Succeeded
  ;;
rollback)
  running
  gate open
  trap 'gate close' EXIT
  await Failed
  ;;
ab-split)
  echo "By weight:"
  kubectl get httproute -n "$namespace" "$name" -o 'jsonpath={range .spec.rules[*].backendRefs[*]}  {.name} {.weight}{"\n"}{end}'
  echo "By header:"
  kubectl get httproute -n "$namespace" "$name-ab-test" -o 'jsonpath={range .spec.rules[*]}  {.matches[0].headers[0].name}: {.matches[0].headers[0].value} -> {.backendRefs[0].name}{"\n"}{end}'
  echo "Pods that answer:"
  for side in primary canary; do
    echo "  $side $(kubectl get endpointslices -n "$namespace" -l "kubernetes.io/service-name=$name-$side" -o 'jsonpath={range .items[*].endpoints[?(@.conditions.ready==true)]}x{end}' | wc -c)"
  done
  ;;
*) die "usage: canary.sh status|describe|promote|rollback|ab-split" ;;
esac
