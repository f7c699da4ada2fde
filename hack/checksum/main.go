// Command checksum writes into each ConfigMap manifest that it is given the
// checksum of its _example, by which Knative's configuration webhook tells that
// somebody edited the example instead of the configuration.
package main

import (
	"fmt"
	"os"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/configmap"
	"sigs.k8s.io/yaml"
)

var annotation = regexp.MustCompile(`(knative\.dev/example-checksum: )"[0-9a-f]*"`)

func main() {
	for _, path := range os.Args[1:] {
		if err := update(path); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			os.Exit(1)
		}
	}
}

func update(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var cm corev1.ConfigMap
	if err := yaml.Unmarshal(text, &cm); err != nil {
		return err
	}
	example, ok := cm.Data[configmap.ExampleKey]
	if !ok {
		return fmt.Errorf("has no %s", configmap.ExampleKey)
	}
	if !annotation.Match(text) {
		return fmt.Errorf("has no annotation %s", configmap.ExampleChecksumAnnotation)
	}
	sum := configmap.Checksum(example)
	return os.WriteFile(path, annotation.ReplaceAll(text, []byte(`${1}"`+sum+`"`)), 0o644)
}
