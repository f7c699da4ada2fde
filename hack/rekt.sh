#!/usr/bin/env bash
# Runs Knative Eventing's own tests, unmodified, against this project's Broker class in the
# cluster of KUBECONFIG or in the local one. With an argument, the tests that it matches:
# hack/rekt.sh [REGEXP]. CLASS names another class, to compare.
#
# The tests wait more than they work, in steps of five seconds, so that groups of them
# run side by side.
source "$(dirname "$0")/lib.sh"
parts=eventing
use_cluster
use_ko

say "Building Knative Eventing's tests"
export CGO_ENABLED=0 GOFLAGS=-trimpath
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
hub=knative.dev/reconciler-test/cmd/eventshub
printf '%s: %s\n' "$hub" "$(ko build --sbom=none -B "$hub")" >"$work/images.yaml"
go test -tags e2e -c -o "$work/rekt" knative.dev/eventing/test/rekt
go test -tags rekt -c -o "$work/filters" ./test/conformance/eventing

# TestBrokerPropagatesMetadata and TestBrokerWithFlakyDLQ are left out: the one returns
# at once for other classes than Knative's own, and the other is skipped upstream.
groups=(
  'rekt ^TestBrokerConformance$'
  'rekt ^TestBroker(AsMiddleware|DeadLetterSinkExtensions|DeliverLong(Response)?Message|Redelivery)$'
  'rekt ^TestBroker(WithDLQ|DefaultDelivery|PreferHeaderCheck|WithManyTriggers|TriggerWithDeliveryTimeout)$'
  'rekt ^Test(TriggerDefaulting|TriggerWithDLS|MultiTriggerTopology|TriggerDeliveryFormat|TriggerDependencyAnnotation)$'
  'filters ^TestFilters$'
)
if (($#)); then groups=("rekt $1" "filters $1"); fi

export SYSTEM_NAMESPACE=knative-eventing BROKER_CLASS=${CLASS:-LambdaBroker}
say "Running them against class $BROKER_CLASS"
pids=() status=0
for i in "${!groups[@]}"; do
  read -r program pattern <<<"${groups[i]}"
  "$work/$program" -test.v -test.timeout 20m -test.parallel 8 -test.run "$pattern" \
    --images.producer.file="$work/images.yaml" --poll.interval=1s >"$work/$i.log" 2>&1 &
  pids+=($!)
done
for i in "${!pids[@]}"; do
  wait "${pids[i]}" || { status=1; grep -vE '^=== |^ *"|^I[0-9]{4}' "$work/$i.log" | tail -200; }
  grep -E '^(--- |ok|FAIL)' "$work/$i.log" || true
done
exit "$status"
