#!/usr/bin/env bash
# Posts a CloudEvent to a Service of the cluster until it is taken:
# post.sh namespace service path id type source data
set -euo pipefail
exec 3< <(exec kubectl proxy --port=0)
proxy=$!
trap 'kill $proxy' EXIT
read -r said <&3
for _ in {1..60}; do
  if curl -fsS --max-time 30 -o /dev/null "http://${said##* }/api/v1/namespaces/$1/services/http:$2:80/proxy$3" \
    -H 'Content-Type: application/json' -H 'Ce-Specversion: 1.0' -H "Ce-Id: $4" -H "Ce-Type: $5" -H "Ce-Source: $6" -d "$7"; then
    exit 0
  fi
  sleep 1
done
echo "$2 does not take the event $4" >&2
exit 1
