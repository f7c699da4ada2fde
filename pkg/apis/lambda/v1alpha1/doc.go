// Package v1alpha1 holds the types of LambdaFunction and LambdaAgent with their
// defaults, validation and lifecycle.
//
// +k8s:deepcopy-gen=package
// +groupName=lambda.knative.io
package v1alpha1
