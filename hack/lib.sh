# What the scripts of this folder have in common. Sourced, not run.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

started=$SECONDS
say() { printf '\033[1m==> %3ds  %s\033[0m\n' "$((SECONDS - started))" "$*"; }

cluster() { go run ./hack/cluster "$@"; }

# use_cluster sets the environment of the cluster to work on: the one that
# KUBECONFIG or the current context names, else the local one, which it brings up.
# local_cluster tells which it is.
use_cluster() {
  local_cluster=0
  if [[ -n ${KUBECONFIG:-} && $KUBECONFIG != *knative-lambda-cluster* ]] || [[ -z ${KUBECONFIG:-} && -s ${HOME:-/root}/.kube/config ]]; then
    say "Using the cluster of ${KUBECONFIG:-$HOME/.kube/config}"
    : "${KO_DOCKER_REPO:?Set it to a registry that the cluster can pull from}"
    return
  fi
  local_cluster=1
  say "Bringing up the local cluster"
  was_up=0
  if cluster status >/dev/null 2>&1; then was_up=1; fi
  unset KUBECONFIG
  cluster up
  eval "$(cluster env)"
}

# install_operator builds the operator and applies it.
install_operator() {
  say "Building and installing the operator"
  ko apply --sbom=none --base-import-paths -Rf config/core >/dev/null
  if ((local_cluster)); then cluster configure; fi
  kubectl wait -n knative-lambda --for=condition=Available --timeout=180s deployment --all
}

# take_down leaves the machine as it was found.
take_down() {
  if ((${local_cluster:-0} && !${was_up:-0})); then
    say "Taking the local cluster down"
    cluster down
  fi
}
