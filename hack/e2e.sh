#!/usr/bin/env bash
# Runs the tests that need a cluster against the operator that is installed in
# that of KUBECONFIG, or in the local one.
source "$(dirname "$0")/lib.sh"
parts=eventing,minio
use_cluster
status=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The last one looks at what the operator has done in the others. Tests wait for the
# cluster more than they work: several at a time, however few cores there are.
for suite in conformance e2e rbac; do
  say "Running test/$suite"
  go test -count=1 -timeout 60m -parallel 4 -tags "${suite/rbac/e2e}" -v "./test/$suite/..." | tee -a "$log" || status=1
done
say "What the tests measured, and what failed"
grep -E '^ *(--- FAIL|[a-z0-9_]+_test\.go:)' "$log" || true
exit "$status"
