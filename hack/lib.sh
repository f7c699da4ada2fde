# What the scripts of this folder have in common. Sourced, not run.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

started=$SECONDS
say() { printf '\033[1m==> %3ds  %s\033[0m\n' "$((SECONDS - started))" "$*"; }
die() { echo "$*" >&2; exit 1; }

command -v go >/dev/null || die "Go is missing: install it from https://go.dev/dl/, or with your system's packages"

# need installs Debian's packages for the programs that are missing: need
# program=package …
need() {
  local packages=() pair
  for pair; do
    command -v "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
  done
  if ((${#packages[@]})); then
    say "Installing ${packages[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
  fi
}

# cluster is the local cluster's program, built once for each script.
cluster() {
  [[ -n ${cluster_built:-} ]] || go build -o bin/cluster ./hack/cluster
  cluster_built=1
  bin/cluster "$@"
}

# start_cluster begins to bring up the local cluster in the background, unless
# KUBECONFIG or the current context names another; await_cluster waits until it
# is there and sets the environment of the cluster to work on. local_cluster tells
# which it is, and parts what it has besides Knative Serving.
start_cluster() {
  local_cluster=0
  local here=${LAMBDA_CLUSTER_DIR:-/var/lib/knative-lambda-cluster}/run/kubeconfig
  if [[ -n ${KUBECONFIG:-} && $KUBECONFIG != "$here" ]] || [[ -z ${KUBECONFIG:-} && -s ${HOME:-/root}/.kube/config ]]; then
    say "Using the cluster of ${KUBECONFIG:-$HOME/.kube/config}"
    : "${KO_DOCKER_REPO:?Set it to a registry that the cluster can pull from}"
    command -v kubectl >/dev/null || die "kubectl is missing: see https://kubernetes.io/docs/tasks/tools/"
    return
  fi
  local_cluster=1
  unset KUBECONFIG
  was_up=0
  if cluster status >/dev/null 2>&1; then was_up=1; fi
  say "Bringing up the local cluster"
  bin/cluster up ${parts:+--with="$parts"} &
  bringing_up=$!
}

await_cluster() {
  ((local_cluster)) || return 0
  wait "$bringing_up" || die "The local cluster did not come up"
  bringing_up=
  eval "$(cluster env)"
}

use_cluster() { start_cluster; await_cluster; }

# use_ko makes ko a command where there is none on the PATH.
use_ko() {
  command -v ko >/dev/null || ko() { (cd third_party/ko && go build -o "$root/bin/ko" github.com/google/ko) && "$root/bin/ko" "$@"; }
}

# install_operator builds the operator, of this tree or of another one, and applies it.
install_operator() {
  say "Building and installing the operator"
  local tree=${1:-$root}
  use_ko
  # ko builds side by side: what the images share is compiled before, once.
  (cd "$tree" && CGO_ENABLED=0 go build -trimpath ./internal/... ./pkg/...)
  local manifests name attempt
  manifests=$(mktemp)
  (cd "$tree" && ko resolve --sbom=none --base-import-paths -Rf config/core) >"$manifests"
  # The webhook of an older version refuses configuration that it does not know.
  for attempt in {2..0}; do
    kubectl apply -f "$manifests" >/dev/null && break
    ((attempt)) || die "The operator cannot be applied"
    await_webhook
  done
  rm -f "$manifests"
  await_webhook
  # Another version knows other keys.
  if ((local_cluster)); then (cd "$tree" && go run ./hack/cluster configure); fi
  set_up_rabbitmq "$tree"
  for name in controller receiver broker; do
    kubectl rollout status -n knative-lambda "deployment/knative-lambda-$name" --timeout=180s
  done
}

# set_up_rabbitmq makes the virtual host and the users of the event plane, where the
# operator has an administrator's connection.
set_up_rabbitmq() {
  local job=job/knative-lambda-rabbitmq-setup connected=true
  [[ -d $1/config/rabbitmq ]] || return 0
  kubectl get -n knative-lambda secret/knative-lambda-rabbitmq-administrator >/dev/null 2>&1 || return 0
  kubectl get -n knative-lambda secret/knative-lambda-rabbitmq-receiver >/dev/null 2>&1 || connected=false
  kubectl delete -n knative-lambda "$job" --ignore-not-found >/dev/null
  (cd "$1" && ko resolve --sbom=none --base-import-paths -f config/rabbitmq) | kubectl apply -f - >/dev/null
  kubectl wait -n knative-lambda "$job" --for=condition=Complete --timeout=180s >/dev/null ||
    die "RabbitMQ cannot be set up: kubectl logs -n knative-lambda $job"
  # A kubelet shows a new Secret to running pods within a minute; new ones have it.
  $connected || kubectl rollout restart -n knative-lambda deployment/knative-lambda-receiver >/dev/null
}

# await_webhook waits until the newest webhook answers, and no other: one of before
# goes when the API server has asked it nothing for 45 s.
await_webhook() {
  kubectl rollout status -n knative-lambda deployment/knative-lambda-webhook --timeout=180s
  local ending attempt
  for attempt in {60..0}; do
    ending=$(kubectl get pods -n knative-lambda -l app.kubernetes.io/component=webhook -o jsonpath='{.items[*].metadata.deletionTimestamp}')
    [[ -n $ending ]] || return 0
    if ((attempt == 60)); then say "Waiting for the webhook of before to go"; fi
    sleep 3
  done
  die "The webhook of before does not go"
}

# take_down leaves the machine as it was found.
take_down() {
  if [[ -n ${bringing_up:-} ]]; then
    kill "$bringing_up" 2>/dev/null || true
    wait "$bringing_up" || true
  fi
  if ((${local_cluster:-0} && !${was_up:-0})); then
    say "Taking the local cluster down"
    cluster down
  fi
}

# footprint lists what of the network, mounts and processes there is, for
# comparing before and after. Rules and chains are listed without their counters, and
# tables not at all: reading one makes it.
footprint() {
  echo "# links"; ls /sys/class/net
  echo "# network namespaces"; ls /run/netns 2>/dev/null || true
  echo "# mounts"; awk '{print $5}' /proc/self/mountinfo | sort
  echo "# iptables"; { iptables-save 2>/dev/null || true; } | sed -n 's/ \[[0-9:]*\]$//; /^:.* -$/p; /^-/p'
  echo "# files"; ls -d /run/containerd /usr/libexec/kubernetes /var/lib/cni /var/lib/kubelet /var/log/containers /var/log/pods 2>/dev/null || true
  echo "# control groups"; find /sys/fs/cgroup -maxdepth 2 -name 'knative-lambda*' | sort
  echo "# processes"; pgrep -fl 'knative-lambda-cluster/(run|cache)' || true
}
