#!/usr/bin/env bash
# Lets a function of orders.sh fail with events, and waits until they are dead letters:
# letters.sh function id…
set -euo pipefail
function=$1
shift
for id; do
  test/docs/setup/post.sh knative-lambda knative-lambda-broker "/$NAMESPACE/default" "$id" io.example.order.created /shop '{"lost": true}'
done
for _ in {1..60}; do
  [[ $(kubectl lambda dlq list "$function") == *"${!#}"* ]] && exit 0
  sleep 1
done
echo "the events do not become dead letters" >&2
exit 1
