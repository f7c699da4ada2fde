// Package build holds what of a build is pure: the digest of a source, the name
// of an image by its content, the Dockerfile, Kaniko's arguments and what a
// finished build pod says. Nothing here talks to anything.
package build

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
)

// Input is everything that an image is a function of.
type Input struct {
	// Source is the digest of the source.
	Source string `json:"source"`
	// Language and Version of the function.
	Language string `json:"language"`
	Version  string `json:"version"`
	// BaseImage that the image is made from.
	BaseImage string `json:"baseImage"`
	// RunImage that it runs on, where that is another.
	RunImage string `json:"runImage,omitempty"`
	// RuntimeImage that the lambda runtime comes from.
	RuntimeImage string `json:"runtimeImage"`
	// Handler of a function that is compiled, which its program calls; empty for
	// others, whose images do not depend on it.
	Handler string `json:"handler,omitempty"`
	// Template of the Dockerfile.
	Template string `json:"template"`
	// Dependencies is the name of the dependencies' manifest in the source,
	// empty where there is none.
	Dependencies string `json:"dependencies,omitempty"`
	// Args are build arguments, in order.
	Args []Arg `json:"args,omitempty"`
	// Layer tells whether the image is made without running anything in it: what a
	// step would only do for a faster start is left out.
	Layer bool `json:"layer,omitempty"`
	// Dockerfile is the path of the user's own in the source; empty where Template
	// makes one.
	Dockerfile string `json:"dockerfile,omitempty"`
	// Salt asks for a new image of the same content.
	Salt string `json:"salt,omitempty"`
}

// Arg is a build argument.
type Arg struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// tagBytes of the hash are in a tag: 128 bits.
const tagBytes = 16

// Reference is the name of the image that in makes, in a repository given with
// its registry. Equal inputs have equal references.
func Reference(repository string, in Input) string {
	data, err := json.Marshal(in)
	if err != nil {
		panic(err) // strings only
	}
	sum := sha256.Sum256(data)
	return repository + ":" + hex.EncodeToString(sum[:tagBytes])
}

// Hash is a short name of text: 8 hexadecimal digits.
func Hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}

// dockerfileData is what a Dockerfile template may use.
type dockerfileData struct {
	BaseImage, RunImage, RuntimeImage, Dependencies, Handler string
	// Layer leaves out what need not be run.
	Layer bool
	// Args are the names of the build arguments.
	Args []string
}

// Dockerfile renders the template.
func Dockerfile(in Input) (string, error) {
	t, err := template.New("Dockerfile").Option("missingkey=error").Parse(in.Template)
	if err != nil {
		return "", fmt.Errorf("the Dockerfile template of %s: %w", in.Language, err)
	}
	data := dockerfileData{BaseImage: in.BaseImage, RunImage: in.RunImage, RuntimeImage: in.RuntimeImage, Dependencies: in.Dependencies, Handler: in.Handler, Layer: in.Layer}
	if data.RunImage == "" {
		data.RunImage = in.BaseImage
	}
	for _, a := range in.Args {
		data.Args = append(data.Args, a.Name)
	}
	var out strings.Builder
	if err := t.Execute(&out, data); err != nil {
		return "", fmt.Errorf("the Dockerfile template of %s: %w", in.Language, err)
	}
	return out.String(), nil
}
