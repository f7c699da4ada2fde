#!/usr/bin/env bash
# Every test of this repository, on a fresh machine too. The local cluster comes
# up while the tests that need none run.
source "$(dirname "$0")/lib.sh"
parts=eventing,minio
need python3=python3 node=nodejs npm=npm git=git curl=curl diff=diffutils jq=jq

before=$(mktemp)
cleanup() {
  status=$?
  take_down || status=1
  # After a cluster that was brought up just for this, nothing of it is left. What was
  # there before, of a cluster that was killed, may be gone with it.
  if ((${local_cluster:-0} && !${was_up:-0})) && footprint | grep -vxFf "$before"; then
    say "The local cluster has left something behind"
    status=1
  fi
  rm -f "$before"
  if ((status)); then say "The tests failed"; else say "All tests passed"; fi
  exit "$status"
}
trap cleanup EXIT

footprint >"$before"
start_cluster

say "Linters"
make --no-print-directory lint

say "Generated code"
make --no-print-directory verify

say "Unit and table tests"
make --no-print-directory unit

await_cluster
install_operator
hack/e2e.sh
if ((local_cluster)); then hack/fault.sh; fi
