#!/usr/bin/env bash
# Runs the tests that need a cluster against the operator that is installed in
# that of KUBECONFIG, or in the local one. With arguments, these suites only.
source "$(dirname "$0")/lib.sh"
parts=eventing,minio
use_cluster
status=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
suites=("$@")
# rbac reads what the operator did in the others.
((${#suites[@]})) || suites=(conformance e2e security/tenant rbac)
for suite in "${suites[@]}"; do
  say "Running test/$suite"
  tag=e2e parallel=4 # tests wait for the cluster more than they work, however few cores there are
  case $suite in
  conformance) tag=conformance ;;
  security/tenant) parallel=8 ;;
  esac
  go test -count=1 -timeout 60m -parallel "$parallel" -tags "$tag" -v "./test/$suite/..." | tee -a "$log" || status=1
done
say "What the tests measured, and what failed"
grep -E '^ *(--- FAIL|[a-z0-9_]+_test\.go:)' "$log" || true
exit "$status"
