package build

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

const digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func ended(container string, exitCode int32, reason, message string) *corev1.Pod {
	status := []corev1.ContainerStatus{{Name: container, State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: exitCode, Reason: reason, Message: message}}}}
	pod := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodFailed}}
	if container == BuilderContainer {
		pod.Status.InitContainerStatuses = status
	} else {
		pod.Status.ContainerStatuses = status
	}
	return pod
}

func kanikoEnd(log string) *corev1.Pod { return ended(KanikoContainer, 1, "Error", log) }

// TestRead: the logs end as Kaniko v1.25 ends them.
func TestRead(t *testing.T) {
	const (
		push      = "error checking push permissions -- make sure you entered the correct tag name, and that you are authenticated correctly, and try again: checking push permission for "
		step      = "error building image: error building stage: failed to execute command: "
		exit      = step + "waiting for process to exit: exit status 1"
		pip       = "INFO[0002] RUN python3 -m pip install\nERROR: Could not find a version that satisfies the requirement nosuch==1\nERROR: No matching distribution found for nosuch==1\n" + exit
		npm       = "INFO[0004] RUN npm install\nnpm error code E404\nnpm error 404 Not Found - GET https://r.test/nosuch - Not found\n" + exit
		npm9      = "npm WARN old lockfile\nnpm ERR! code ETARGET\nnpm ERR! notarget No matching version found for a@99.\n" + exit
		golang    = "INFO[0003] Running: [go run]\ngo: downloading example.com/x v1.0.0\n# function\n./handler.go:5:13: cannot use \"text\" (untyped string constant) as int value in variable declaration\n./handler.go:9:2: undefined: y\nexit status 1\n" + exit
		gomod     = "go: errors parsing go.mod:\n/lambda/source/go.mod:2: unknown directive: nonsense\n" + exit
		compiling = "*** Error compiling '/lambda/function/main.py'...\n  File \"/lambda/function/main.py\", line 1\n    def handler(event\nSyntaxError: '(' was never closed\n\n" + exit
	)
	for _, tt := range []struct {
		name string
		pod  *corev1.Pod
		want Outcome
	}{{
		"pushed", &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: ended(KanikoContainer, 0, "Completed", digest+"\n").Status.ContainerStatuses}},
		Outcome{Digest: digest},
	}, {
		"pushed without a digest", &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodSucceeded}},
		Outcome{Step: StepPush, Reason: ReasonBuildFailed, Fault: InfrastructureFault, Message: "The executor ended without the digest of the image."},
	}, {
		"the user's source", ended(BuilderContainer, UserExitCode, "Error", `{"step":"source","reason":"SourceInvalid","message":"handler \"app.handler\": no file app.py"}`),
		Outcome{Step: StepSource, Reason: ReasonSourceInvalid, Fault: UserFault, Message: `handler "app.handler": no file app.py`},
	}, {
		"the builder's own failure", ended(BuilderContainer, 1, "Error", "open /etc/lambda-build/plan.json: no such file"),
		Outcome{Step: StepSource, Reason: ReasonBuildFailed, Fault: InfrastructureFault, Message: "open /etc/lambda-build/plan.json: no such file", Log: "open /etc/lambda-build/plan.json: no such file"},
	}, {
		"a syntax error", kanikoEnd(compiling),
		Outcome{Step: StepBuild, Reason: ReasonBuildStepFailed, Fault: UserFault, Log: compiling,
			Message: "*** Error compiling '/lambda/function/main.py'...\n  File \"/lambda/function/main.py\", line 1\n    def handler(event\nSyntaxError: '(' was never closed"},
	}, {
		"a dependency that does not exist", kanikoEnd(pip),
		Outcome{Step: StepBuild, Reason: ReasonBuildStepFailed, Fault: UserFault, Log: pip,
			Message: "ERROR: Could not find a version that satisfies the requirement nosuch==1\nERROR: No matching distribution found for nosuch==1"},
	}, {
		"a package of npm that does not exist", kanikoEnd(npm),
		Outcome{Step: StepBuild, Reason: ReasonBuildStepFailed, Fault: UserFault, Log: npm, Message: "npm error code E404\nnpm error 404 Not Found - GET https://r.test/nosuch - Not found"},
	}, {
		"a version of npm's packages that does not exist", kanikoEnd(npm9),
		Outcome{Step: StepBuild, Reason: ReasonBuildStepFailed, Fault: UserFault, Log: npm9, Message: "npm ERR! code ETARGET\nnpm ERR! notarget No matching version found for a@99."},
	}, {
		"Go that does not compile", kanikoEnd(golang),
		Outcome{Step: StepBuild, Reason: ReasonBuildStepFailed, Fault: UserFault, Log: golang,
			Message: "./handler.go:5:13: cannot use \"text\" (untyped string constant) as int value in variable declaration\n./handler.go:9:2: undefined: y"},
	}, {
		"a malformed go.mod", kanikoEnd(gomod),
		Outcome{Step: StepBuild, Reason: ReasonBuildStepFailed, Fault: UserFault, Log: gomod, Message: "/lambda/source/go.mod:2: unknown directive: nonsense"},
	}, {
		"a step that may not run", kanikoEnd(step + "starting command: fork/exec /bin/sh: permission denied"),
		Outcome{Step: StepBuild, Reason: ReasonBuildStepFailed, Fault: UserFault, Message: step + "starting command: fork/exec /bin/sh: permission denied", Log: step + "starting command: fork/exec /bin/sh: permission denied"},
	}, {
		"a registry that refuses the push", kanikoEnd(push + `"r.test/x:1": creating push check transport for r.test failed: GET https://r.test/v2/: UNAUTHORIZED: authentication required`),
		kanikoOutcome(StepPush, ReasonPushDenied, ConfigurationFault, "The registry refused the push: check spec.build.pushSecretRef and what it may write.",
			push+`"r.test/x:1": creating push check transport for r.test failed: GET https://r.test/v2/: UNAUTHORIZED: authentication required`),
	}, {
		"a registry that refuses the layers", kanikoEnd("error pushing image: failed to push to destination r.test/x:1: POST https://r.test/v2/x/blobs/uploads/: DENIED: no"),
		kanikoOutcome(StepPush, ReasonPushDenied, ConfigurationFault, "The registry refused the push: check spec.build.pushSecretRef and what it may write.",
			"error pushing image: failed to push to destination r.test/x:1: POST https://r.test/v2/x/blobs/uploads/: DENIED: no"),
	}, {
		"an unreachable registry", kanikoEnd(push + `"r.test/x:1": creating push check transport for r.test failed: Get "https://r.test/v2/": dial tcp: lookup r.test: no such host`),
		kanikoOutcome(StepPush, ReasonRegistryUnreachable, InfrastructureFault, "A registry cannot be reached.",
			push+`"r.test/x:1": creating push check transport for r.test failed: Get "https://r.test/v2/": dial tcp: lookup r.test: no such host`),
	}, {
		"a base image that does not exist", kanikoEnd("error building image: unable to complete operation after 0 attempts, last error: GET https://r.test/v2/python/manifests/9: MANIFEST_UNKNOWN: manifest unknown"),
		kanikoOutcome(StepBuild, ReasonBaseImageNotFound, ConfigurationFault, "A base image does not exist: check config-runtimes.",
			"error building image: unable to complete operation after 0 attempts, last error: GET https://r.test/v2/python/manifests/9: MANIFEST_UNKNOWN: manifest unknown"),
	}, {
		"a base image that is not given", kanikoEnd("error building image: unable to complete operation after 0 attempts, last error: GET https://r.test/v2/python/manifests/9: UNAUTHORIZED: authentication required"),
		kanikoOutcome(StepBuild, ReasonPullDenied, ConfigurationFault, "The registry refused to give the base image: check spec.build.imagePullSecret.",
			"error building image: unable to complete operation after 0 attempts, last error: GET https://r.test/v2/python/manifests/9: UNAUTHORIZED: authentication required"),
	}, {
		"a log whose end was lost", kanikoEnd(strings.TrimSuffix(compiling, "\n\n"+exit)),
		Outcome{Step: StepBuild, Reason: ReasonBuildStepFailed, Fault: UserFault, Log: strings.TrimSuffix(compiling, "\n\n"+exit),
			Message: "*** Error compiling '/lambda/function/main.py'...\n  File \"/lambda/function/main.py\", line 1\n    def handler(event\nSyntaxError: '(' was never closed"},
	}, {
		"something new of Kaniko's", kanikoEnd("error building image: flux capacitor: empty"),
		Outcome{Step: StepBuild, Reason: ReasonBuildFailed, Fault: InfrastructureFault, Message: "error building image: flux capacitor: empty", Log: "error building image: flux capacitor: empty"},
	}, {
		"something new", kanikoEnd("flux capacitor empty"),
		Outcome{Step: StepBuild, Reason: ReasonBuildFailed, Fault: InfrastructureFault, Message: "flux capacitor empty", Log: "flux capacitor empty"},
	}, {
		"out of memory", ended(KanikoContainer, 137, "OOMKilled", ""),
		Outcome{Step: StepBuild, Reason: ReasonOutOfMemory, Fault: UserFault, Message: "The build ran out of memory: set spec.build.resources.limits.memory higher."},
	}, {
		"a timeout", &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodFailed, Reason: "DeadlineExceeded"}}, Timeout(),
	}, {
		"an eviction", &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node was low on resource: memory."}},
		Outcome{Step: StepBuild, Reason: ReasonEvicted, Fault: InfrastructureFault, Message: "The node ended the build pod: The node was low on resource: memory."},
	}} {
		t.Run(tt.name, func(t *testing.T) {
			got, isEnd := Read(tt.pod)
			if !isEnd {
				t.Error("has not ended")
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error("(-want, +got):", diff)
			}
			if got.Succeeded() != (tt.want.Digest != "") {
				t.Errorf("Succeeded() = %t", got.Succeeded())
			}
		})
	}
	if _, isEnd := Read(&corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning}}); isEnd {
		t.Error("a running pod has ended")
	}
}

func kanikoOutcome(step, reason string, fault Fault, advice, last string) Outcome {
	return Outcome{Step: step, Reason: reason, Fault: fault, Message: advice + " " + last, Log: last}
}

func TestWaiting(t *testing.T) {
	waiting := func(reason string) *corev1.Pod {
		return &corev1.Pod{Status: corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{{Name: BuilderContainer,
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "why"}}}}}}
	}
	for _, tt := range []struct {
		pod  *corev1.Pod
		want string
	}{
		{&corev1.Pod{}, ""},
		{waiting("PodInitializing"), ""},
		{waiting("ContainerCreating"), ""},
		{waiting("ImagePullBackOff"), "The build's container builder waits: ImagePullBackOff: why"},
		{&corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/3 nodes"}}}}, "The build pod cannot be scheduled: 0/3 nodes"},
	} {
		if got := Waiting(tt.pod); got != tt.want {
			t.Errorf("Waiting() = %q, want %q", got, tt.want)
		}
	}
}

func TestReference(t *testing.T) {
	in := Input{Source: digest, Language: "python", Version: "3.11", BaseImage: "b", RuntimeImage: "r", Template: "t",
		Dependencies: "requirements.txt", Args: []Arg{{"A", "1"}}, Salt: "s"}
	same := Reference("r.test/team/python", in)
	if again := Reference("r.test/team/python", in); again != same {
		t.Errorf("the same input gives %s and %s", same, again)
	}
	if name, tag, _ := strings.Cut(same, ":"); name != "r.test/team/python" || len(tag) != 2*tagBytes || strings.Trim(tag, "0123456789abcdef") != "" {
		t.Errorf("Reference() = %s, want the repository and a tag of 32 hexadecimal digits", same)
	}
	seen := map[string]string{same: "nothing"}
	for what, change := range map[string]func(*Input){
		"source": func(i *Input) { i.Source = "x" }, "language": func(i *Input) { i.Language = "x" }, "version": func(i *Input) { i.Version = "x" },
		"base image": func(i *Input) { i.BaseImage = "x" }, "runtime": func(i *Input) { i.RuntimeImage = "x" }, "template": func(i *Input) { i.Template = "x" },
		"dependencies": func(i *Input) { i.Dependencies = "" }, "argument": func(i *Input) { i.Args = []Arg{{"A", "2"}} },
		"no argument": func(i *Input) { i.Args = nil }, "salt": func(i *Input) { i.Salt = "x" },
		"layer": func(i *Input) { i.Layer = true }, "Dockerfile": func(i *Input) { i.Dockerfile = "x" },
	} {
		changed := in
		change(&changed)
		reference := Reference("r.test/team/python", changed)
		if other, ok := seen[reference]; ok {
			t.Errorf("a change of %s gives the same reference as a change of %s", what, other)
		}
		seen[reference] = what
	}
}

func TestDockerfile(t *testing.T) {
	in := Input{Language: "toy", BaseImage: "base", RuntimeImage: "run", Dependencies: "deps", Args: []Arg{{"A", "1"}, {"B", "2"}},
		Template: "FROM {{.BaseImage}}\n{{range .Args}}ARG {{.}}\n{{end}}COPY --from={{.RuntimeImage}} /r /r\nRUN install {{.Dependencies}}\n"}
	got, err := Dockerfile(in)
	if want := "FROM base\nARG A\nARG B\nCOPY --from=run /r /r\nRUN install deps\n"; err != nil || got != want {
		t.Errorf("Dockerfile() = %q, %v, want %q", got, err, want)
	}
	in.Template, in.Handler = "{{.BaseImage}} {{.RunImage}} {{.Handler}}", "H"
	for run, want := range map[string]string{"": "base base H", "tiny": "base tiny H"} {
		in.RunImage = run
		if got, err := Dockerfile(in); got != want || err != nil {
			t.Errorf("with run image %q the Dockerfile is %q, %v, want %q", run, got, err, want)
		}
	}
	for _, template := range []string{"{{.Nothing}}", "{{"} {
		in.Template = template
		if _, err := Dockerfile(in); err == nil || !strings.Contains(err.Error(), "the Dockerfile template of toy") {
			t.Errorf("template %q: error %v, want one that names the language", template, err)
		}
	}
}

func TestKanikoArgs(t *testing.T) {
	always := []string{"--context=dir:///workspace", "--dockerfile=/workspace/Dockerfile", "--destination=r.test/x:1", "--digest-file=/dev/termination-log",
		"--snapshot-mode=redo", "--single-snapshot", "--log-format=text", "--log-timestamp=false", "--push-retry=2", "--image-fs-extract-retry=2"}
	for _, tt := range []struct {
		name    string
		options KanikoOptions
		more    []string
	}{
		{"nothing asked for", KanikoOptions{}, nil},
		{"arguments", KanikoOptions{Args: []Arg{{"A", "1 2"}, {"B", "$(x)"}}}, []string{"--build-arg=A=1 2", "--build-arg=B=$$(x)"}},
		{"plain HTTP", KanikoOptions{PushInsecure: true, Insecure: []string{"a:5000", "b"}}, []string{"--insecure", "--insecure-registry=a:5000", "--insecure-registry=b"}},
		{"the user's Dockerfile", KanikoOptions{Dockerfile: "docker/Dockerfile"}, []string{"--ignore-var-run=false"}},
		{"cache", KanikoOptions{Cache: true, CacheRepository: "r.test/x/cache", CacheTTL: "336h0m0s"}, []string{"--cache=true", "--cache-repo=r.test/x/cache", "--cache-ttl=336h0m0s"}},
	} {
		tt.options.Destination = "r.test/x:1"
		want := append(slices.Clone(always), tt.more...)
		if tt.options.Dockerfile != "" {
			want[0], want[1] = "--context=dir:///workspace/function", "--dockerfile=/workspace/function/docker/Dockerfile"
		}
		if diff := cmp.Diff(want, KanikoArgs(tt.options)); diff != "" {
			t.Errorf("%s (-want, +got): %s", tt.name, diff)
		}
	}
}
