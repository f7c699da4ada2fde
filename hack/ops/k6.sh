#!/usr/bin/env bash
# Load tests in the cluster: k6.sh apply-tests|smoke|load|stress|status|clean. TARGET is
# the URL of the function, by default that of config/samples/hello-python.yaml.
source "$(dirname "$0")/lib.sh"
use_kubectl
need_kind testruns.k6.io "The k6-operator"

apply_tests() { go run ./hack/kustomize config/k6/scripts | kubectl apply -f -; }

run() {
  local test=$1 limit=$2 target=${TARGET:-} failed
  [[ -z $target || $target =~ ^https?://[A-Za-z0-9._:/-]+$ ]] || die "TARGET: \"$target\" is not the URL of a function"
  apply_tests
  kubectl delete testrun -n "$namespace" "$test" --ignore-not-found --wait
  sed "${target:+s|value: http://.*|value: $target|}" "config/k6/$test.yaml" | kubectl apply -f -
  kubectl wait -n "$namespace" "testrun/$test" '--for=jsonpath={.status.stage}=finished' --timeout="$limit" ||
    die "The test does not end: make k6-status"
  kubectl logs -n "$namespace" -l "k6_cr=$test,runner=true" --tail=60
  failed=$(kubectl get jobs -n "$namespace" -l "k6_cr=$test,runner=true" -o 'jsonpath={.items[*].status.failed}')
  [[ -z $failed ]] || die "The thresholds of $test are not met"
}

case ${1:-} in
apply-tests) apply_tests ;;
smoke) run smoke 5m ;;
load) run load 20m ;;
stress) run stress 35m ;;
status)
  kubectl get -n "$namespace" testruns
  kubectl get -n "$namespace" jobs,pods -l app=k6
  ;;
clean) kubectl delete -n "$namespace" --ignore-not-found testrun/smoke testrun/load testrun/stress configmap/knative-lambda-k6 ;;
*) die "usage: k6.sh apply-tests|smoke|load|stress|status|clean" ;;
esac
