#!/usr/bin/env bash
# Runs the tests that need a cluster against the operator that is installed in
# that of KUBECONFIG, or in the local one.
source "$(dirname "$0")/lib.sh"
parts=eventing,minio
use_cluster
status=0
for suite in conformance e2e; do
  say "Running test/$suite"
  go test -count=1 -timeout 40m -tags "$suite" -v "./test/$suite/..." || status=1
done
exit "$status"
