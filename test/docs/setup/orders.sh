#!/usr/bin/env bash
# Makes what docs/kubectl-lambda.md calls: the functions hello-python and orders, which
# fails with events that say so, but not when they are replayed.
set -euo pipefail
sed "s/namespace: knative-lambda/namespace: $NAMESPACE/" config/samples/hello-python.yaml | kubectl apply -f -
kubectl apply -f - <<'EOF'
apiVersion: lambda.knative.io/v1alpha1
kind: LambdaFunction
metadata: {name: orders}
spec:
  runtime: {language: python}
  scaling: {minReplicas: 1}
  source:
    inline:
      code: |
        def handler(event, context):
            if event.get("lost") and "lambdaretry" not in context.extensions:
                raise ValueError("the warehouse is closed")
  eventing:
    enabled: true
    dlq: {retryMaxAttempts: 0}
  triggers:
  - filter: {attributes: {type: io.example.order.created}}
EOF
kubectl wait --for=condition=Ready lambdafunction/hello-python lambdafunction/orders --timeout=5m
echo '{"item": "book"}' >order.json
