package resources

import (
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// InlineFiles are the files of an inline source: path to text.
func InlineFiles(inline *v1alpha1.InlineSource, language *config.Language) map[string]string {
	files := make(map[string]string, len(inline.Files)+2)
	for name, text := range inline.Files {
		files[name] = text
	}
	if inline.Code != "" {
		files[language.File] = inline.Code
	}
	if inline.Dependencies != "" {
		files[language.DependenciesFile] = inline.Dependencies
	}
	return files
}
