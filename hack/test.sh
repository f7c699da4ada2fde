#!/usr/bin/env bash
# Every test of this repository, on a fresh machine too. The local cluster builds
# and comes up while the tests that need none run.
source "$(dirname "$0")/lib.sh"

if ! command -v python3 >/dev/null || ! command -v gcc >/dev/null || ! command -v git >/dev/null || ! command -v curl >/dev/null; then
  say "Installing what the tests need"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 gcc libc6-dev git curl ca-certificates
fi

cleanup() {
  status=$?
  if ((status)); then say "The tests failed"; fi
  take_down
  exit "$status"
}
trap cleanup EXIT

use_cluster
install_operator

say "Unit and table tests"
make --no-print-directory unit

say "Generated code"
make --no-print-directory verify

say "Linters"
make --no-print-directory lint

make --no-print-directory e2e
say "All tests passed"
