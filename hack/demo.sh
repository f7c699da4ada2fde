#!/usr/bin/env bash
# Deploys a function from source and shows its answers and what they cost, beside
# a bare Knative Service. KEEP=1 leaves the local cluster up.
source "$(dirname "$0")/lib.sh"

cleanup() {
  status=$?
  if ((status)); then say "The demo failed"; fi
  if [[ -n ${deployed:-} ]]; then
    kubectl delete --ignore-not-found -f config/samples/hello-python.yaml >/dev/null || true
    kubectl delete --ignore-not-found -n knative-lambda ksvc/bare >/dev/null || true
  fi
  if [[ -z ${KEEP:-} ]]; then take_down; fi
  exit "$status"
}
trap cleanup EXIT

use_cluster
install_operator
deployed=1

now() { date +%s%N; }
ms() { echo "$((($(now) - $1) / 1000000)) ms"; }

say "Deploying config/samples/hello-python.yaml"
begin=$(now)
kubectl apply -f config/samples/hello-python.yaml
kubectl wait -n knative-lambda --for=condition=Ready lambdafunction/hello-python --timeout=300s
ready=$(ms "$begin")
url=$(kubectl get -n knative-lambda lambdafunction/hello-python -o jsonpath='{.status.url}')
image=$(kubectl get -n knative-lambda lambdafunction/hello-python -o jsonpath='{.status.build.image}')
# On the local cluster *.localhost is this machine, whatever port the ingress has.
address=$url
host=${url#http://}
if ((local_cluster)); then address=http://$LAMBDA_INGRESS; fi

say "Calling it over HTTP"
begin=$(now)
answer=$(curl -fsS --max-time 30 -H "Host: $host" "$address")
warm=$(ms "$begin")
echo "$answer"

say "Calling it with a CloudEvent"
curl -fsSi --max-time 30 -H "Host: $host" -H 'Content-Type: application/json' \
  -H 'Ce-Specversion: 1.0' -H 'Ce-Id: 1' -H 'Ce-Type: io.example.greeting' -H 'Ce-Source: /demo' \
  -d '{"name": "Knative"}' "$address"
echo

say "The same with a bare Knative Service of the same image, for comparison"
begin=$(now)
kubectl apply -f - <<YAML
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: bare, namespace: knative-lambda}
spec:
  template:
    spec:
      containers:
      - image: $image
        env:
        - {name: LAMBDA_HANDLER, value: main.handler}
        - {name: LAMBDA_WORKER_COMMAND, value: '["python3", "-u", "/lambda/worker/worker.py"]'}
        readinessProbe: {httpGet: {path: /healthz}}
YAML
kubectl wait -n knative-lambda --for=condition=Ready ksvc/bare --timeout=300s
bare=$(ms "$begin")

say "What it cost"
build_start=$(kubectl get -n knative-lambda lambdafunction/hello-python -o jsonpath='{.status.build.startTime}')
build_end=$(kubectl get -n knative-lambda lambdafunction/hello-python -o jsonpath='{.status.build.completionTime}')
if [[ -n $build_start ]]; then
  build="$(($(date -d "$build_end" +%s) - $(date -d "$build_start" +%s))) s, of it the build"
else
  build="no build: the registry had the image"
fi
printf '  %-46s %s (%s)\n' 'apply to Ready' "$ready" "$build"
printf '  %-46s %s\n' 'apply to Ready of a bare Service, image there' "$bare" 'one warm request' "$warm"
if [[ $answer != '{"message": "Hello from Lambda!"}' ]]; then
  echo "unexpected answer: $answer" >&2
  exit 1
fi
