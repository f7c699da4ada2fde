#!/usr/bin/env bash
# Breaks what the operator stands on, one thing after another, on the local cluster, and
# prints how long each takes until all is settled again.
source "$(dirname "$0")/lib.sh"
parts=eventing,minio
use_cluster
((local_cluster)) || die "Faults are for the local cluster only: unset KUBECONFIG"
use_ko
say "Setting up RabbitMQ: the tests run this Job again"
set_up_rabbitmq "$root"
say "Running test/fault"
LAMBDA_CLUSTER="$root/bin/cluster" go test -count=1 -timeout 60m -tags fault -v ./test/fault
