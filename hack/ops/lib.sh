# What the scripts of this folder have in common. Sourced, not run. They work on the
# cluster of KUBECONFIG or of the current context, or on the local one where there is
# neither.
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

namespace=knative-lambda

use_kubectl() {
  local here=${LAMBDA_CLUSTER_DIR:-/var/lib/knative-lambda-cluster}/run/kubeconfig
  if [[ -z ${KUBECONFIG:-} && ! -s ${HOME:-/root}/.kube/config && -s $here ]]; then eval "$(cluster env)"; fi
  command -v kubectl >/dev/null || die "kubectl is missing: see https://kubernetes.io/docs/tasks/tools/"
}

# use_environment takes the name of an overlay.
use_environment() {
  case ${1:-} in
  pro | studio) environment=$1 ;;
  *) die "ENV: \"${1:-}\" is no environment, give pro or studio" ;;
  esac
}

# need_kind ends the script where the cluster lacks a kind: need_kind CRD PART
need_kind() {
  kubectl get crd "$1" >/dev/null 2>&1 || die "$2 is missing: the cluster has no $1 (docs/gitops.md says what it needs)"
}

# render writes what the kustomization in a folder makes, with images by digest. What
# follows is for ko.
render() {
  : "${KO_DOCKER_REPO:?Set it to a registry that the cluster can pull from}"
  use_ko
  go run ./hack/kustomize "$1" | ko resolve --sbom=none --base-import-paths "${@:2}" -f -
}
