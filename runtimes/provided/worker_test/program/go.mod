module github.com/brunovlucena/knative-lambda-operator/runtimes/provided/worker_test/program

go 1.25.0

require github.com/aws/aws-lambda-go v1.50.0
