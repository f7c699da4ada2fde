#!/usr/bin/env bash
# Runs the conformance and end-to-end tests against the operator in the cluster of
# KUBECONFIG, or the local one.
source "$(dirname "$0")/lib.sh"
use_cluster
export LAMBDA_LOCAL_CLUSTER=$local_cluster
for suite in conformance e2e; do
  if compgen -G "test/$suite/*_test.go" >/dev/null; then
    say "Running test/$suite"
    go test -count=1 -timeout 30m -tags "$suite" -v "./test/$suite/..."
  fi
done
