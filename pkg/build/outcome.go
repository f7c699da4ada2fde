package build

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Fault tells whose a failed build is.
type Fault string

const (
	// UserFault is in the source or the spec: building again cannot help.
	UserFault Fault = "user"
	// ConfigurationFault is in credentials or settings of the cluster: only a
	// person can help.
	ConfigurationFault Fault = "configuration"
	// InfrastructureFault may pass by itself.
	InfrastructureFault Fault = "infrastructure"
)

// Reasons of failed builds.
const (
	ReasonSourceInvalid       = "SourceInvalid"
	ReasonBuildStepFailed     = "BuildStepFailed"
	ReasonBaseImageNotFound   = "BaseImageNotFound"
	ReasonPushDenied          = "PushDenied"
	ReasonPullDenied          = "PullDenied"
	ReasonRegistryUnreachable = "RegistryUnreachable"
	ReasonRegistryForbidden   = "RegistryForbidden"
	ReasonOutOfMemory         = "BuildOutOfMemory"
	ReasonEvicted             = "BuildEvicted"
	ReasonTimeout             = "BuildTimeout"
	ReasonImagePull           = "BuilderImageUnavailable"
	ReasonBuildFailed         = "BuildFailed"
	ReasonSecretNotFound      = "SecretNotFound"
	// ReasonImageNotConfirmed says that the registry does not have what a build reports.
	ReasonImageNotConfirmed = "ImageNotConfirmed"
	// ReasonBuildPodChanged says that a build pod does not run what its Job asks for.
	ReasonBuildPodChanged = "BuildPodChanged"
)

// What to do about failures, whichever strategy met them.
const (
	AdvicePushDenied          = "The registry refused the push: check spec.build.pushSecretRef and what it may write."
	AdvicePullDenied          = "The registry refused to give the base image: check spec.build.imagePullSecret."
	AdviceBaseImageNotFound   = "A base image does not exist: check config-runtimes."
	AdviceRegistryUnreachable = "A registry cannot be reached."
	AdviceRegistryForbidden   = "The registry must not be dialled:"
)

// Steps of a build.
const (
	StepSource = "source"
	StepBuild  = "build"
	StepPush   = "push"
)

// Outcome is what a build pod says of a build that ended.
type Outcome struct {
	// Digest of the pushed image; empty where the build failed.
	Digest string
	// Step, Reason, Message, Log and Fault of a failure.
	Step, Reason, Message, Log string
	Fault                      Fault
}

// Succeeded tells whether there is an image.
func (o Outcome) Succeeded() bool { return o.Digest != "" }

// Termination is the builder's termination message.
type Termination struct {
	Step    string `json:"step"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// UserExitCode is with which the builder ends when the user is at fault.
const UserExitCode = 2

var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// Read tells the outcome of a build from its pod, and whether it has ended at
// all.
func Read(pod *corev1.Pod) (Outcome, bool) {
	switch pod.Status.Phase {
	case corev1.PodSucceeded:
		if digest := strings.TrimSpace(message(pod.Status.ContainerStatuses, KanikoContainer)); digestPattern.MatchString(digest) {
			return Outcome{Digest: digest}, true
		}
		return Outcome{Step: StepPush, Reason: ReasonBuildFailed, Fault: InfrastructureFault,
			Message: "The executor ended without the digest of the image."}, true
	case corev1.PodFailed:
	default:
		return Outcome{}, false
	}
	if o, ok := podFailure(pod); ok {
		return o, true
	}
	if t := terminated(pod.Status.InitContainerStatuses, BuilderContainer); t != nil && t.ExitCode != 0 {
		return builderFailure(t), true
	}
	if t := terminated(pod.Status.ContainerStatuses, KanikoContainer); t != nil && t.ExitCode != 0 {
		return kanikoFailure(t), true
	}
	return Outcome{Step: StepBuild, Reason: ReasonBuildFailed, Fault: InfrastructureFault,
		Message: fmt.Sprintf("The build pod failed: %s %s", pod.Status.Reason, pod.Status.Message)}, true
}

// podFailure is a failure of the pod as a whole.
func podFailure(pod *corev1.Pod) (Outcome, bool) {
	switch pod.Status.Reason {
	case "DeadlineExceeded":
		return Timeout(), true
	case "Evicted", "Preempting", "NodeLost", "Shutdown", "NodeShutdown", "Terminated":
		return Outcome{Step: StepBuild, Reason: ReasonEvicted, Fault: InfrastructureFault, Message: "The node ended the build pod: " + pod.Status.Message}, true
	}
	return Outcome{}, false
}

// Timeout is the outcome of a build that took too long.
func Timeout() Outcome {
	return Outcome{Step: StepBuild, Reason: ReasonTimeout, Fault: UserFault,
		Message: "The build took longer than its timeout: make it faster or set spec.build.timeout."}
}

func builderFailure(t *corev1.ContainerStateTerminated) Outcome {
	o := Outcome{Step: StepSource, Reason: ReasonBuildFailed, Fault: InfrastructureFault, Message: lastLine(t.Message)}
	var said Termination
	if json.Unmarshal([]byte(t.Message), &said) == nil && said.Message != "" {
		o.Step, o.Reason, o.Message = said.Step, said.Reason, said.Message
	} else {
		o.Log = t.Message
	}
	if t.ExitCode == UserExitCode {
		o.Fault = UserFault
	}
	return outOfMemory(t, o)
}

func outOfMemory(t *corev1.ContainerStateTerminated, o Outcome) Outcome {
	if t.Reason == "OOMKilled" || t.ExitCode == 137 {
		o.Reason, o.Fault = ReasonOutOfMemory, UserFault
		o.Message = "The build ran out of memory: set spec.build.resources.limits.memory higher."
	}
	return o
}

// kanikoErrors are the ends of Kaniko's log, in the order in which they are
// looked for, and what they mean.
var kanikoErrors = []struct {
	pattern      *regexp.Regexp
	step, reason string
	fault        Fault
	advice       string
}{
	{regexp.MustCompile(`(?i)(checking push permission|failed to push|pushing image|error pushing).*(UNAUTHORIZED|DENIED|forbidden|401|403)`), StepPush, ReasonPushDenied, ConfigurationFault,
		AdvicePushDenied},
	{regexp.MustCompile(`failed to execute command: .*(exit status \d+|starting command)`), StepBuild, ReasonBuildStepFailed, UserFault, ""},
	{regexp.MustCompile(`(?i)(connection refused|no such host|i/o timeout|network is unreachable|no route to host|TLS handshake|server gave HTTP response|connection reset|context deadline exceeded|50[0234] |Service Unavailable|Bad Gateway)`), StepPush, ReasonRegistryUnreachable, InfrastructureFault,
		AdviceRegistryUnreachable},
	{regexp.MustCompile(`UNAUTHORIZED|DENIED|401 Unauthorized|403 Forbidden`), StepBuild, ReasonPullDenied, ConfigurationFault,
		AdvicePullDenied},
	{regexp.MustCompile(`(?i)(MANIFEST_UNKNOWN|NAME_UNKNOWN|manifest unknown)`), StepBuild, ReasonBaseImageNotFound, ConfigurationFault,
		AdviceBaseImageNotFound},
	{regexp.MustCompile(`(?i)(failed to execute command|error building stage|parsing dockerfile|dockerfile parse error)`), StepBuild, ReasonBuildStepFailed, UserFault, ""},
}

// kanikosOwn begins the line that Kaniko ends with.
const kanikosOwn = "error "

func kanikoFailure(t *corev1.ContainerStateTerminated) Outcome {
	o := Outcome{Step: StepBuild, Reason: ReasonBuildFailed, Fault: InfrastructureFault, Message: lastLine(t.Message), Log: strings.TrimSpace(t.Message)}
	last := lastLine(t.Message)
	if said := userMessage(t.Message + "\n" + kanikosOwn); !strings.HasPrefix(last, kanikosOwn) && said != strings.TrimSpace(kanikosOwn) {
		// A busy node may lose the end of a log. What is there is a tool's complaint.
		o.Reason, o.Fault, o.Message = ReasonBuildStepFailed, UserFault, said
	}
	for _, e := range kanikoErrors {
		if !e.pattern.MatchString(last) {
			continue
		}
		o.Step, o.Reason, o.Fault = e.step, e.reason, e.fault
		if e.advice != "" {
			o.Message = e.advice + " " + last
		} else {
			o.Message = userMessage(t.Message)
		}
		break
	}
	return outOfMemory(t, o)
}

// errorLine is a line in which a tool says what is wrong with the source.
var errorLine = regexp.MustCompile(`(?i)^\s*(\*\*\* error |\w*(error|exception)\b.*:|error:|npm (err!|error)|fatal:|\S*\.go:\d+:\d+: |\S*go\.mod:\d+: )`)

// exitLine is how go run ends, which says nothing that Kaniko does not.
var exitLine = regexp.MustCompile(`^exit status \d+$`)

// userMessage picks from a log the lines in which a person sees what is wrong
// with the code, with Kaniko's own last line where there are none.
func userMessage(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	for i, line := range lines[:len(lines)-1] {
		if !errorLine.MatchString(line) || strings.HasPrefix(line, "INFO") {
			continue
		}
		end := min(i+6, len(lines)-1)
		said := slices.DeleteFunc(slices.Clone(lines[i:end]), exitLine.MatchString)
		return strings.TrimSpace(strings.Join(said, "\n"))
	}
	return lines[len(lines)-1]
}

func lastLine(log string) string {
	log = strings.TrimSpace(log)
	return strings.TrimSpace(log[strings.LastIndexByte(log, '\n')+1:])
}

func terminated(statuses []corev1.ContainerStatus, name string) *corev1.ContainerStateTerminated {
	for i := range statuses {
		if statuses[i].Name == name {
			return statuses[i].State.Terminated
		}
	}
	return nil
}

func message(statuses []corev1.ContainerStatus, name string) string {
	if t := terminated(statuses, name); t != nil {
		return t.Message
	}
	return ""
}

// Waiting tells why a build pod that has not ended does not run, empty where
// it does.
func Waiting(pod *corev1.Pod) string {
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, s := range statuses {
			if w := s.State.Waiting; w != nil && w.Reason != "PodInitializing" && w.Reason != "ContainerCreating" && w.Reason != "" {
				return fmt.Sprintf("The build's container %s waits: %s: %s", s.Name, w.Reason, w.Message)
			}
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return "The build pod cannot be scheduled: " + c.Message
		}
	}
	return ""
}
