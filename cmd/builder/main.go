// Command builder is what runs in a build pod before the image is made: it lays
// out the build context from the function's source and checks it. It ends with
// 2 where the user is at fault and with 1 where something else is, and says why
// as JSON in its termination message.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

func main() {
	log.SetFlags(0)
	err := layout(paths{
		input: build.InputDir, workspace: build.WorkspaceDir,
		push: build.PushSecretDir, pull: build.PullSecretDir, docker: build.DockerConfigDir,
	})
	if err == nil {
		return
	}
	log.Print(err)
	said := build.Termination{Step: build.StepSource, Reason: build.ReasonBuildFailed, Message: err.Error()}
	code := 1
	var invalid *source.InvalidError
	if errors.As(err, &invalid) {
		said.Reason, code = build.ReasonSourceInvalid, build.UserExitCode
	}
	if text, err := json.Marshal(said); err == nil {
		if err := os.WriteFile("/dev/termination-log", text, 0o644); err != nil {
			log.Print(err)
		}
	}
	os.Exit(code)
}

// paths are where the builder reads and writes.
type paths struct {
	input, workspace   string
	push, pull, docker string
}

func layout(p paths) error {
	var plan build.Plan
	text, err := os.ReadFile(filepath.Join(p.input, build.PlanFile))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &plan); err != nil {
		return fmt.Errorf("%s: %w", build.PlanFile, err)
	}
	function := filepath.Join(p.workspace, build.FunctionDir)
	if err := os.MkdirAll(function, 0o755); err != nil {
		return err
	}
	archive, err := os.Open(filepath.Join(p.input, build.SourceFile))
	if err != nil {
		return err
	}
	defer archive.Close()
	if err := source.Unpack(archive, function); err != nil {
		return err
	}
	if err := recipe(p, plan, function); err != nil {
		return err
	}
	return credentials(p)
}

// recipe brings the language's Dockerfile to the context when the source has the
// handler's file. A Dockerfile of the user's own is in the source, and decides for
// itself what a handler is.
func recipe(p paths, plan build.Plan, function string) error {
	if plan.Dockerfile != "" {
		return source.CheckFile(function, plan.Dockerfile, "spec.build.dockerfile")
	}
	if err := source.CheckHandler(function, plan.Handler, plan.File); err != nil {
		return err
	}
	dockerfile, err := os.ReadFile(filepath.Join(p.input, build.DockerfileFile))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.workspace, build.DockerfileFile), dockerfile, 0o644)
}

// credentials merges what is needed to pull and to push into one Docker
// configuration, the latter winning: Kaniko reads only one.
func credentials(p paths) error {
	type config struct {
		Auths map[string]json.RawMessage `json:"auths"`
	}
	merged := config{Auths: map[string]json.RawMessage{}}
	for _, dir := range []string{p.pull, p.push} {
		text, err := os.ReadFile(filepath.Join(dir, ".dockerconfigjson"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		var one config
		if json.Unmarshal(text, &one) != nil { // the error might quote the credentials
			return &source.InvalidError{Message: "a registry secret's .dockerconfigjson is no JSON: it must be of type kubernetes.io/dockerconfigjson"}
		}
		for registry, auth := range one.Auths {
			merged.Auths[registry] = auth
		}
	}
	if len(merged.Auths) == 0 {
		return nil
	}
	text, err := json.Marshal(merged)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.docker, "config.json"), text, 0o600)
}
