// Command builder is what runs in a build pod before the image is made: it
// fetches the function's source, checks it and lays out the build context. It ends with
// 2 where the user is at fault and with 1 where something else is, and says why
// as JSON in its termination message.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	err := layout(ctx, paths{
		input: build.InputDir, workspace: build.WorkspaceDir, source: build.SourceSecretDir,
		push: build.PushSecretDir, pull: build.PullSecretDir, docker: build.DockerConfigDir,
	})
	stop()
	if err == nil {
		return
	}
	log.Print(err)
	said := build.Termination{Step: build.StepSource, Reason: build.ReasonBuildFailed, Message: err.Error()}
	code := 1
	var invalid *source.InvalidError
	if errors.As(err, &invalid) {
		said.Reason, code = invalid.Reason, build.UserExitCode
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
	input, workspace           string
	source, push, pull, docker string
}

func layout(ctx context.Context, p paths) error {
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
	if plan.Source != nil {
		err = fetch(ctx, plan.Source, p, function)
	} else {
		err = unpack(ctx, p, function)
	}
	if err != nil {
		return err
	}
	if err := recipe(p, plan, function); err != nil {
		return err
	}
	return credentials(p)
}

// unpack the inline source into dir.
func unpack(ctx context.Context, p paths, dir string) error {
	archive, err := os.Open(filepath.Join(p.input, build.SourceFile))
	if err != nil {
		return err
	}
	defer archive.Close()
	return source.Unpack(ctx, archive, dir)
}

// fetch the source into dir.
func fetch(ctx context.Context, plan *build.FetchPlan, p paths, dir string) error {
	var credentials source.Credentials
	if plan.Secret != "" {
		var err error
		if credentials, err = source.ReadCredentials(p.source); err != nil {
			return err
		}
		if credentials == nil {
			return &source.InvalidError{Reason: source.ReasonSecretNotFound, Message: fmt.Sprintf("the Secret %q is not there, or has none of the keys of credentials", plan.Secret)}
		}
	}
	return source.Fetch(ctx, plan.Resolved, credentials, dir, source.MaxBytes)
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
	dockerfile, err := dockerfile(p, plan.Source, function)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.workspace, build.DockerfileFile), dockerfile, 0o644)
}

// dockerfile of the language: of an inline source it came with it, of a fetched
// one it is made of what is there.
func dockerfile(p paths, fetched *build.FetchPlan, function string) ([]byte, error) {
	if fetched == nil {
		return os.ReadFile(filepath.Join(p.input, build.DockerfileFile))
	}
	in := fetched.Input
	if info, err := os.Stat(filepath.Join(function, fetched.Dependencies)); fetched.Dependencies != "" && err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		in.Dependencies = fetched.Dependencies
	}
	text, err := build.Dockerfile(in)
	return []byte(text), err
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
			return &source.InvalidError{Reason: source.ReasonSecretInvalid, Message: "a registry secret's .dockerconfigjson is no JSON: it must be of type kubernetes.io/dockerconfigjson"}
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
