package build

import (
	"encoding/json"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

// Where a build pod's containers meet.
const (
	// InputDir holds the plan, the Dockerfile and the inline source.
	InputDir = "/etc/lambda-build"
	// PlanFile, DockerfileFile and SourceFile are in InputDir.
	PlanFile       = "plan.json"
	DockerfileFile = "Dockerfile"
	SourceFile     = "source.tar.gz"
	// WorkspaceDir is the build context that the builder lays out.
	WorkspaceDir = "/workspace"
	// FunctionDir in the workspace holds the function's files.
	FunctionDir = "function"
	// BuilderContainer and KanikoContainer are the pod's containers.
	BuilderContainer = "builder"
	KanikoContainer  = "kaniko"
	// DockerConfigDir is where Kaniko reads registry credentials.
	DockerConfigDir = "/kaniko/.docker"
	// PushSecretDir and PullSecretDir hold what the builder merges into it.
	PushSecretDir = "/etc/lambda-push"
	PullSecretDir = "/etc/lambda-pull"
	// SourceSecretDir holds the credentials of the source; the builder alone has
	// it.
	SourceSecretDir = "/etc/lambda-source"
)

// Build arguments that a user's own Dockerfile gets.
const (
	BaseImageArg    = "BASE_IMAGE"
	RuntimeImageArg = "RUNTIME_IMAGE"
)

// Plan tells the builder what to lay out.
type Plan struct {
	// Handler of the function, <module>.<function>.
	Handler string `json:"handler"`
	// File is the language's main file, whose ending modules of the handler
	// have.
	File string `json:"file"`
	// Dockerfile is the path of the user's own in the source; empty where the
	// language's is in InputDir.
	Dockerfile string `json:"dockerfile,omitempty"`
	// Source to fetch; nil where it is in InputDir.
	Source *FetchPlan `json:"source,omitempty"`
}

// FetchPlan is a source that the builder fetches, and how the Dockerfile is made
// once it is there.
type FetchPlan struct {
	// Resolved source.
	Resolved *source.Resolved `json:"resolved"`
	// Secret that is mounted at SourceSecretDir; empty where the source is public.
	Secret string `json:"secret,omitempty"`
	// Input of the image, but for what only the files tell.
	Input Input `json:"input"`
	// Dependencies is the name of the language's manifest of dependencies.
	Dependencies string `json:"dependencies,omitempty"`
}

// Marshal writes the plan as JSON.
func (p Plan) Marshal() string {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		panic(err) // strings, numbers and addresses only
	}
	return string(data)
}

// KanikoOptions are the settings of an executor.
type KanikoOptions struct {
	// Destination is the image's reference.
	Destination string
	// Dockerfile is the path of the user's own in the source, which then is the
	// build's context; empty where the language's lays out the workspace.
	Dockerfile string
	// Args are build arguments.
	Args []Arg
	// Insecure registries speak plain HTTP.
	Insecure []string
	// PushInsecure tells whether the destination's does.
	PushInsecure bool
	// Cache turns the layer cache on; CacheRepository is where.
	Cache           bool
	CacheRepository string
	CacheTTL        string
}

// KanikoArgs are the executor's arguments. The digest of the pushed image comes
// back as the container's termination message.
func KanikoArgs(o KanikoOptions) []string {
	context, dockerfile := WorkspaceDir, WorkspaceDir+"/"+DockerfileFile
	if o.Dockerfile != "" {
		context = WorkspaceDir + "/" + FunctionDir
		dockerfile = context + "/" + o.Dockerfile
	}
	args := []string{
		"--context=dir://" + context,
		"--dockerfile=" + dockerfile,
		"--destination=" + o.Destination,
		"--digest-file=/dev/termination-log",
		"--snapshot-mode=redo", // no hashing of a base image's unchanged files
		"--single-snapshot",
		"--log-format=text",
		"--log-timestamp=false",
		"--push-retry=2",
		"--image-fs-extract-retry=2",
	}
	if o.Dockerfile != "" {
		args = append(args, "--ignore-var-run=false") // where the image with the runtime has the workers
	}
	for _, a := range o.Args {
		args = append(args, "--build-arg="+a.Name+"="+strings.ReplaceAll(a.Value, "$", "$$")) // Kubernetes expands $(…) in arguments
	}
	if o.PushInsecure {
		args = append(args, "--insecure")
	}
	for _, r := range o.Insecure {
		args = append(args, "--insecure-registry="+r)
	}
	if o.Cache {
		args = append(args, "--cache=true", "--cache-repo="+o.CacheRepository, "--cache-ttl="+o.CacheTTL)
	}
	return args
}
