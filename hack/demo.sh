#!/usr/bin/env bash
# Deploys a function from source and shows its answers and what they cost, beside
# a bare Knative Service. KEEP=1 leaves the local cluster up.
source "$(dirname "$0")/lib.sh"
need curl=curl git=git

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
since() { echo "$((($(now) - $1) / 1000000)) ms"; }
field() { kubectl get -n knative-lambda lambdafunction/hello-python -o jsonpath="{.status.$1}"; }

say "Deploying config/samples/hello-python.yaml"
begin=$(now)
kubectl apply -f config/samples/hello-python.yaml
kubectl wait -n knative-lambda --for=condition=Ready lambdafunction/hello-python --timeout=300s
ready=$(since "$begin")
kubectl get -n knative-lambda lambdafunction/hello-python

# On the local cluster *.localhost is this machine, whatever port the ingress has.
url=$(field url)
address=$url
if ((local_cluster)); then address=http://$LAMBDA_INGRESS; fi
call() { curl -fsS --max-time 30 -H "Host: ${url#http://}" "$@" "$address"; }

say "Calling it over HTTP"
# An ingress may route to a new host a moment later than it says.
call --retry 10 --retry-all-errors --retry-delay 1 >/dev/null 2>&1
begin=$(now)
answer=$(call)
warm=$(since "$begin")
echo "$answer"

say "Calling it with a CloudEvent"
call -i -H 'Content-Type: application/json' -d '{"name": "Knative"}' \
  -H 'Ce-Specversion: 1.0' -H 'Ce-Id: 1' -H 'Ce-Type: io.example.greeting' -H 'Ce-Source: /demo'
echo

say "The same image as a bare Knative Service, for comparison"
bare_service() {
  cat <<YAML
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: bare, namespace: knative-lambda}
spec:
  template:
    spec:
      containers:
      - image: $(field build.image)
        env:
        - {name: LAMBDA_HANDLER, value: main.handler}
        - {name: LAMBDA_WORKER_COMMAND, value: '["python3", "-u", "/lambda/worker/worker.py"]'}
        readinessProbe: {httpGet: {path: /healthz}}
        securityContext:
          runAsNonRoot: true
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
          seccompProfile: {type: RuntimeDefault}
YAML
}
begin=$(now)
bare_service | kubectl apply -f -
kubectl wait -n knative-lambda --for=condition=Ready ksvc/bare --timeout=300s
bare=$(since "$begin")

say "What it cost"
case $(field build.strategy) in
layer) build="its image made without a pod" ;;
kaniko) build="of it the build $(($(date -d "$(field build.completionTime)" +%s) - $(date -d "$(field build.startTime)" +%s))) s" ;;
*) build="without a build: the registry had the image" ;;
esac
printf '  %-48s %s\n' \
  'apply to Ready' "$ready, $build" \
  'apply to Ready of the bare Service, image there' "$bare" \
  'one warm request' "$warm"
[[ $answer == '{"message": "Hello from Lambda!"}' ]] || die "unexpected answer: $answer"
