// Package manifests holds the manifests of config/ for GitOps, load tests and
// monitoring to the schemas of the systems that read them.
package manifests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"
)

// root of the repository, from the folder of this package.
const root = "../.."

// definitions are files with CRDs in the modules of third_party/schemas, and our own.
var definitions = map[string][]string{
	"":                                       {"config/core/300-resources/*.yaml"},
	"github.com/fluxcd/flagger":              {"artifacts/flagger/crd.yaml"},
	"github.com/grafana/k6-operator":         {"config/crd/bases/*.yaml"},
	"github.com/fluxcd/source-controller":    {"config/crd/bases/*.yaml"},
	"github.com/fluxcd/kustomize-controller": {"config/crd/bases/*.yaml"},
	"github.com/prometheus-operator/prometheus-operator": {"example/prometheus-operator-crd/*.yaml"},
	"sigs.k8s.io/gateway-api":                            {"config/crd/standard/*.yaml"},
}

// Schemas say what is a valid object: those of CRDs for custom resources, and the
// types of Kubernetes for its own.
type Schemas struct {
	kinds  map[schema.GroupVersionKind]*spec.Schema
	native runtime.Decoder
}

// LoadSchemas reads the CRDs.
func LoadSchemas() (*Schemas, error) {
	native := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(native), apiextensionsv1.AddToScheme(native)); err != nil {
		return nil, err
	}
	s := &Schemas{kinds: map[schema.GroupVersionKind]*spec.Schema{},
		native: serializer.NewCodecFactory(native, serializer.EnableStrict).UniversalDeserializer()}
	dirs, err := moduleDirs()
	if err != nil {
		return nil, err
	}
	for module, patterns := range definitions {
		for _, pattern := range patterns {
			if err := s.addFiles(filepath.Join(dirs[module], pattern)); err != nil {
				return nil, fmt.Errorf("%s: %w", module, err)
			}
		}
	}
	return s, nil
}

// moduleDirs is where the modules have their files.
func moduleDirs() (map[string]string, error) {
	args := []string{"mod", "download", "-json"}
	for module := range definitions {
		if module != "" {
			args = append(args, module)
		}
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = filepath.Join(root, "third_party/schemas")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("the modules of third_party/schemas: %w: %s", err, out)
	}
	dirs := map[string]string{"": root}
	decoder := json.NewDecoder(bytes.NewReader(out))
	for decoder.More() {
		var module struct{ Path, Dir string }
		if err := decoder.Decode(&module); err != nil {
			return nil, err
		}
		dirs[module.Path] = module.Dir
	}
	return dirs, nil
}

func (s *Schemas) addFiles(pattern string) error {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no file is like %s", pattern)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, document := range strings.Split(string(text), "\n---\n") {
			if err := s.add([]byte(document)); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return nil
}

// add reads one CRD.
func (s *Schemas) add(document []byte) error {
	var crd struct {
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct{ OpenAPIV3Schema map[string]any }
			}
		}
	}
	if err := yaml.Unmarshal(document, &crd); err != nil {
		return err
	}
	for _, v := range crd.Spec.Versions {
		allowBoth(v.Schema.OpenAPIV3Schema)
		text, err := json.Marshal(v.Schema.OpenAPIV3Schema)
		if err != nil {
			return err
		}
		properties := &spec.Schema{}
		if err := json.Unmarshal(text, properties); err != nil {
			return err
		}
		s.kinds[schema.GroupVersionKind{Group: crd.Spec.Group, Version: v.Name, Kind: crd.Spec.Names.Kind}] = properties
	}
	return nil
}

// allowBoth gives what is a number or a string these types, as API servers do.
func allowBoth(value any) {
	switch value := value.(type) {
	case map[string]any:
		if value["x-kubernetes-int-or-string"] == true {
			value["type"] = []string{"integer", "string"}
		}
		for _, v := range value {
			allowBoth(v)
		}
	case []any:
		for _, v := range value {
			allowBoth(v)
		}
	}
}

// Check returns what an API server would refuse of the object, or drop.
func (s *Schemas) Check(o *unstructured.Unstructured) error {
	properties, ok := s.kinds[o.GroupVersionKind()]
	if !ok {
		text, err := o.MarshalJSON()
		if err != nil {
			return err
		}
		_, _, err = s.native.Decode(text, nil, nil)
		return err
	}
	if err := validate.NewSchemaValidator(properties, nil, "", strfmt.Default).Validate(o.Object).AsError(); err != nil {
		return err
	}
	content := maps.Clone(o.Object)
	for _, known := range []string{"apiVersion", "kind", "metadata"} {
		delete(content, known)
	}
	return errors.Join(unknown("", content, properties)...)
}

// unknown fields of a value.
func unknown(path string, value any, properties *spec.Schema) []error {
	var errs []error
	switch value := value.(type) {
	case map[string]any:
		if keep, _ := properties.Extensions.GetBool("x-kubernetes-preserve-unknown-fields"); keep {
			return nil
		}
		for k, v := range value {
			property, ok := properties.Properties[k]
			if more := properties.AdditionalProperties; !ok && more != nil && more.Allows {
				if more.Schema == nil {
					continue
				}
				property, ok = *more.Schema, true
			}
			if !ok {
				errs = append(errs, fmt.Errorf("%s.%s: unknown field", path, k))
				continue
			}
			errs = append(errs, unknown(path+"."+k, v, &property)...)
		}
	case []any:
		if properties.Items == nil || properties.Items.Schema == nil {
			return nil
		}
		for i, v := range value {
			errs = append(errs, unknown(fmt.Sprintf("%s[%d]", path, i), v, properties.Items.Schema)...)
		}
	}
	return errs
}
