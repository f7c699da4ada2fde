package lambdafunction

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/layer"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources/names"
	"github.com/brunovlucena/knative-lambda-operator/runtimes"
)

// desiredBuild is the build of the newest spec.
func desiredBuild(p *pass) (*resources.Build, error) {
	to, err := p.Spec.Build.Destination(p.cfg.Build, config.RepositoryData{Namespace: p.Namespace, Name: p.Name, Language: p.Spec.Runtime.Language})
	if err != nil {
		return nil, err
	}
	b := &resources.Build{Registry: to.Registry, Repository: to.Repository, Language: p.language, Files: p.files, Source: p.resolved}
	if err := desiredInput(p, b); err != nil {
		return nil, err
	}
	nameBuild(p, b)
	return b, nil
}

// nameBuild names the image by what it is made from, and the build by the image and
// the attempt.
func nameBuild(p *pass, b *resources.Build) {
	b.Reference = build.Reference(b.Registry+"/"+b.Repository, b.Input)
	b.Attempt = 1
	if s := p.Status.Build; s != nil && s.Reference == b.Reference && s.Settings == settings(p) {
		b.Attempt = max(1, s.Attempts)
		if s.Failure != nil {
			b.Attempt++
		}
	}
	b.Name = names.Build(p, b.Reference, b.Input.Salt+settings(p), b.Attempt)
}

// desiredInput is everything that the image is made from, and the recipe where it
// is made without running anything.
func desiredInput(p *pass, b *resources.Build) error {
	spec := &p.Spec
	b.Input = build.Input{
		Source: p.Status.Source.Digest, Language: spec.Runtime.Language, Version: p.version,
		BaseImage: p.language.Versions[p.version].BaseImage, RunImage: p.language.Versions[p.version].RunImage, RuntimeImage: p.cfg.Build.RuntimeImage,
		Salt: p.Annotations[lambda.RebuildAnnotationKey], Dockerfile: spec.Build.Dockerfile,
	}
	b.Input.Args = buildArgs(p.language.Env, spec.Build.Args)
	if b.Input.Dockerfile != "" {
		return nil
	}
	if p.language.Compiled {
		b.Input.Handler = spec.Runtime.Handler
	}
	if file := p.language.DependenciesFile; p.files[file] != "" {
		b.Input.Dependencies = file
	}
	var err error
	if b.Input.Template, err = templateOf(p.language); err != nil {
		return fmt.Errorf("%s: %s: %w", config.RuntimesConfigName, spec.Runtime.Language, err)
	}
	return desiredRecipe(p, b)
}

// buildArgs are the language's arguments but those that the function sets itself,
// by name, and the function's in their order.
func buildArgs(language map[string]string, own []v1alpha1.BuildArg) (args []build.Arg) {
	for _, name := range slices.Sorted(maps.Keys(language)) {
		if !slices.ContainsFunc(own, func(a v1alpha1.BuildArg) bool { return a.Name == name }) {
			args = append(args, build.Arg{Name: name, Value: language[name]})
		}
	}
	for _, a := range own {
		args = append(args, build.Arg{Name: a.Name, Value: a.Value})
	}
	return args
}

// desiredRecipe is there where the Dockerfile, without what is only done for a
// faster start, runs nothing.
func desiredRecipe(p *pass, b *resources.Build) error {
	if p.Spec.Build.Strategy == v1alpha1.BuildKaniko || !fetchable(p, b) {
		return nil
	}
	in := b.Input
	in.Layer = true
	dockerfile, err := build.Dockerfile(in)
	if err != nil {
		return fmt.Errorf("%s: %w", config.RuntimesConfigName, err)
	}
	if recipe, ok := build.ParseRecipe(dockerfile); ok {
		b.Input, b.Recipe = in, recipe
	}
	return nil
}

// recipes of all languages and versions that have one.
func recipes(cfg *config.Config) (all []*build.Recipe) {
	if cfg.Runtimes == nil {
		return nil
	}
	for _, name := range cfg.Runtimes.Names() {
		language := cfg.Runtimes.Languages[name]
		template, err := templateOf(language)
		if err != nil {
			continue // told to whoever uses it
		}
		for _, version := range language.VersionNames() {
			dockerfile, err := build.Dockerfile(build.Input{Language: name, Version: version, BaseImage: language.Versions[version].BaseImage,
				RuntimeImage: cfg.Build.RuntimeImage, Template: template, Layer: true})
			if recipe, ok := build.ParseRecipe(dockerfile); err == nil && ok {
				all = append(all, recipe)
			}
		}
	}
	return all
}

// templateOf a language's Dockerfile.
func templateOf(l *config.Language) (string, error) {
	if l.Dockerfile != "" {
		return l.Dockerfile, nil
	}
	return runtimes.Dockerfile(l.Template)
}

// fetchable tells whether the source is here, or may be fetched into this process:
// a small object whose files have not proved to take a pod. A git repository is of
// any size.
func fetchable(p *pass, b *resources.Build) bool {
	r := p.resolved
	if r == nil {
		return true
	}
	if r.Object == nil || r.Size > layer.MaxSource {
		return false
	}
	inPod := build.Reference(b.Registry+"/"+b.Repository, b.Input)
	return p.Status.Build == nil || p.Status.Build.Reference != inPod
}

// settings is a short name of what of spec.build does not change the image, but
// may make its build fail; empty where nothing of it is set.
func settings(p *pass) string {
	b := p.Spec.Build
	chosen := v1alpha1.BuildSpec{Timeout: b.Timeout, ImagePullSecret: b.ImagePullSecret, PushSecretRef: b.PushSecretRef, Resources: b.Resources, Cache: b.Cache}
	text, err := json.Marshal(chosen)
	if err != nil || string(text) == "{}" {
		return ""
	}
	return build.Hash(string(text))
}
