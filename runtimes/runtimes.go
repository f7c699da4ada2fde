// Package runtimes holds what each language brings: a folder with the template
// of its functions' Dockerfile and its worker.
package runtimes

import (
	"embed"
	"fmt"
)

//go:embed */Dockerfile
var dockerfiles embed.FS

// Dockerfile returns the Dockerfile template of that name.
func Dockerfile(template string) (string, error) {
	text, err := dockerfiles.ReadFile(template + "/Dockerfile")
	if err != nil {
		return "", fmt.Errorf("there is no template %q", template)
	}
	return string(text), nil
}
