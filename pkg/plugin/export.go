package plugin

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// exportPage is how many objects are read at once.
const exportPage = 100

func (o *options) export() *cobra.Command {
	var everywhere bool
	cmd := &cobra.Command{
		Use: "export", Short: "Print functions and agents as manifests that kubectl apply takes, here or on another cluster", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			namespace := o.namespace
			if everywhere {
				namespace = metav1.NamespaceAll
			}
			return o.exportAll(cmd.Context(), namespace)
		},
	}
	cmd.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "those of all namespaces, which the manifests then name")
	return cmd
}

func (o *options) exportAll(ctx context.Context, namespace string) error {
	client, page := o.lambda.LambdaV1alpha1(), metav1.ListOptions{Limit: exportPage}
	for {
		list, err := client.LambdaFunctions(namespace).List(ctx, page)
		if err != nil {
			return err
		}
		for i := range list.Items {
			f := &list.Items[i]
			if err := o.print("LambdaFunction", portable(f.ObjectMeta, namespace), f.Spec); err != nil {
				return err
			}
		}
		if page.Continue = list.Continue; page.Continue == "" {
			break
		}
	}
	for {
		list, err := client.LambdaAgents(namespace).List(ctx, page)
		if err != nil {
			return err
		}
		for i := range list.Items {
			a := &list.Items[i]
			if err := o.print("LambdaAgent", portable(a.ObjectMeta, namespace), a.Spec); err != nil {
				return err
			}
		}
		if page.Continue = list.Continue; page.Continue == "" {
			return nil
		}
	}
}

// clusters' own annotations are made anew where the manifest is applied.
var clusters = []string{
	lambda.CreatorAnnotationKey, lambda.LastModifierAnnotationKey, lambda.ToldAnnotationKey, lambda.CommandsAnnotationKey,
	lambda.RestoreAnnotationKey, lambda.VerifiedAnnotationKey,
	"kubectl.kubernetes.io/last-applied-configuration",
}

// portable is what of an object's metadata is its author's; with its namespace where
// those of all are exported.
func portable(m metav1.ObjectMeta, namespace string) map[string]any {
	meta := map[string]any{"name": m.Name}
	if namespace == metav1.NamespaceAll {
		meta["namespace"] = m.Namespace
	}
	if len(m.Labels) > 0 {
		meta["labels"] = m.Labels
	}
	annotations := map[string]string{}
	for key, value := range m.Annotations {
		if !slices.Contains(clusters, key) {
			annotations[key] = value
		}
	}
	if len(annotations) > 0 {
		meta["annotations"] = annotations
	}
	return meta
}

func (o *options) print(kind string, meta map[string]any, spec any) error {
	text, err := yaml.Marshal(map[string]any{"apiVersion": v1alpha1.SchemeGroupVersion.String(), "kind": kind, "metadata": meta, "spec": spec})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.Out, "---\n%s", text)
	return err
}
