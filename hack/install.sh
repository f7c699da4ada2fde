#!/usr/bin/env bash
# Builds the operator and installs it in the cluster of KUBECONFIG, or in the
# local one. With --remove it takes it out again.
source "$(dirname "$0")/lib.sh"
use_cluster
if [[ ${1:-} == --remove ]]; then
  kubectl delete --ignore-not-found -Rf config/core
else
  install_operator
fi
