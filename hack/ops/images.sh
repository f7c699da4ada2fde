#!/usr/bin/env bash
# Builds the operator's images for this machine's platform, pushes them to KO_DOCKER_REPO,
# by default the local cluster's registry, and prints what they are called there.
source "$(dirname "$0")/lib.sh"
use_kubectl
: "${KO_DOCKER_REPO:?Set it to a registry, or bring up the local cluster: make cluster-up}"
use_ko
mapfile -t images < <(grep -rho 'ko://[^" ]*' config/core | sort -u)
ko build --sbom=none --base-import-paths --platform="linux/$(go env GOARCH)" "${images[@]}"
