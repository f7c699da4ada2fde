// Package plugin is the commands of kubectl lambda.
package plugin

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdaclientset "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned"
)

// options that all commands share.
type options struct {
	genericiooptions.IOStreams
	flags    *genericclioptions.ConfigFlags
	operator string

	// Set by complete.
	config    *rest.Config
	namespace string
	kube      kubernetes.Interface
	lambda    lambdaclientset.Interface
	forward   forwarder
}

// NewCommand returns kubectl lambda.
func NewCommand(streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{IOStreams: streams, flags: genericclioptions.NewConfigFlags(true)}
	return o.command()
}

func (o *options) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "kubectl-lambda",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl lambda"},
		Short:         "Work with functions and agents: invoke functions, read their logs, replay what they missed, approve what agents want to do",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return o.complete()
		},
	}
	root.SetIn(o.In)
	root.SetOut(o.Out)
	root.SetErr(o.ErrOut)
	if o.flags != nil {
		o.flags.AddFlags(root.PersistentFlags())
	}
	root.PersistentFlags().StringVar(&o.operator, "operator-namespace", "knative-lambda", "Namespace in which the operator runs")
	root.AddCommand(o.deadLetters(), o.approvals(), o.invoke(), o.outcome(), o.logs(), o.build(), o.export())
	return root
}

// complete makes clients of kubectl's usual flags. Tests have made theirs.
func (o *options) complete() (err error) {
	if o.kube != nil {
		return nil
	}
	if o.config, err = o.flags.ToRESTConfig(); err != nil {
		return err
	}
	if o.namespace, _, err = o.flags.ToRawKubeConfigLoader().Namespace(); err != nil {
		return err
	}
	if o.kube, err = kubernetes.NewForConfig(o.config); err != nil {
		return err
	}
	if o.lambda, err = lambdaclientset.NewForConfig(o.config); err != nil {
		return err
	}
	o.forward = portForwarder(o.config)
	return nil
}

func (o *options) function(ctx context.Context, name string) (*v1alpha1.LambdaFunction, error) {
	return o.lambda.LambdaV1alpha1().LambdaFunctions(o.namespace).Get(ctx, name, metav1.GetOptions{})
}

// one is for commands that take the name of a function.
func one(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("expected the name of one function, got %d arguments", len(args))
	}
	return nil
}
