#!/usr/bin/env bash
# Runs the tests that need a cluster against the operator that is installed in
# that of KUBECONFIG, or in the local one. With arguments, these suites only.
source "$(dirname "$0")/lib.sh"
parts=eventing,minio
use_cluster
status=0
log=$(mktemp) eventing=$(mktemp) beside=
trap 'rm -f "$log" "$eventing"' EXIT

# await_eventing waits for Knative's own tests, which run beside another suite.
await_eventing() {
  [[ -n $beside ]] || return 0
  say "Waiting for Knative's own tests"
  wait "$beside" || status=1
  beside=
  cat "$eventing"
  cat "$eventing" >>"$log"
}

suites=("$@")
# rbac reads what the operator did in the others.
((${#suites[@]})) || suites=(conformance e2e conformance/eventing security/tenant rbac)
for suite in "${suites[@]}"; do
  say "Running test/$suite"
  case $suite in
  conformance/eventing)
    hack/rekt.sh >"$eventing" 2>&1 &
    beside=$!
    continue
    ;;
  rbac) await_eventing ;;
  esac
  tag=e2e parallel=4 # tests wait for the cluster more than they work, however few cores there are
  case $suite in
  conformance) tag=conformance ;;
  security/tenant) parallel=8 ;;
  esac
  go test -count=1 -timeout 60m -parallel "$parallel" -tags "$tag" -v "./test/$suite" | tee -a "$log" || status=1
done
await_eventing
say "What the tests measured, and what failed"
grep -E '^ *(--- FAIL|[a-z0-9_]+_test\.go:)' "$log" || true
exit "$status"
