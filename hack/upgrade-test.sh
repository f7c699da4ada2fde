#!/usr/bin/env bash
# Upgrades the operator while functions serve: hack/upgrade-test.sh COMMIT installs the
# manifests of that commit, has functions under load, installs those of this tree, and
# fails if a request failed, or if an image was built again though the runtime and the
# Dockerfiles of languages are the same.
source "$(dirname "$0")/lib.sh"
from=${1:?Say from which commit to upgrade: hack/upgrade-test.sh COMMIT}
git rev-parse --verify --quiet "$from^{commit}" >/dev/null || die "There is no commit $from"
parts=eventing,minio

work=$(mktemp -d)
cleanup() {
  status=$?
  git worktree remove --force "$work/tree" 2>/dev/null || true
  rm -rf "$work"
  take_down || status=1
  exit "$status"
}
trap cleanup EXIT

use_cluster
git worktree add --quiet --detach "$work/tree" "$from"
say "Installing $(git -C "$work/tree" log -1 --format='%h, %s')"
install_operator "$work/tree"
if ! git diff --quiet "$from" -- runtimes; then export LAMBDA_UPGRADE_REBUILDS=1; fi
say "Running test/upgrade"
LAMBDA_UPGRADE="$root/hack/install.sh" go test -count=1 -timeout 30m -tags upgrade -v ./test/upgrade
