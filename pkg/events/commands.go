package events

// Target names the function that a command is for. A command's subject,
// <namespace>/<name>, names it as well; where both do, they must agree.
type Target struct {
	Namespace string `json:"namespace,omitempty" jsonschema:"namespace of the function; default that of the subject"`
	Name      string `json:"name,omitempty" jsonschema:"name of the function; default that of the subject"`
}

// FunctionDeploy is the data of CommandFunctionDeploy.
type FunctionDeploy struct {
	Target
	Labels      map[string]string `json:"labels,omitempty" jsonschema:"labels of the LambdaFunction"`
	Annotations map[string]string `json:"annotations,omitempty" jsonschema:"annotations of the LambdaFunction"`
	Spec        map[string]any    `json:"spec" jsonschema:"the LambdaFunction's spec, as in a manifest; applied by server-side apply"`
	Force       bool              `json:"force,omitempty" jsonschema:"take over fields that another manager owns, instead of answering with a conflict"`
}

// FunctionRollback is the data of CommandFunctionRollback.
type FunctionRollback struct {
	Target
	Revision string `json:"revision,omitempty" jsonschema:"the revision that gets all traffic; default the newest ready one before that which has it now"`
}

// FunctionDelete is the data of CommandFunctionDelete.
type FunctionDelete struct{ Target }

// BuildStart is the data of CommandBuildStart.
type BuildStart struct{ Target }

// BuildCancel is the data of CommandBuildCancel.
type BuildCancel struct{ Target }

// BuildRetry is the data of CommandBuildRetry.
type BuildRetry struct{ Target }

// ServiceCreate is the data of CommandServiceCreate.
type ServiceCreate struct {
	Target
	Image string         `json:"image" jsonschema:"the image to run, as repository:tag or repository@sha256:digest"`
	Port  int32          `json:"port,omitempty" jsonschema:"the port that the image listens on; default 8080"`
	Spec  map[string]any `json:"spec,omitempty" jsonschema:"further fields of the LambdaFunction's spec, such as scaling, env and resources"`
}

// ServiceUpdate is the data of CommandServiceUpdate.
type ServiceUpdate struct {
	Target
	Image string         `json:"image,omitempty" jsonschema:"the image to run from now on; only for a function whose source is an image"`
	Spec  map[string]any `json:"spec,omitempty" jsonschema:"fields of the LambdaFunction's spec to change, as a JSON merge patch; not source, runtime and build"`
}

// ServiceDelete is the data of CommandServiceDelete.
type ServiceDelete struct{ Target }

// DeadLetterList is the data of CommandDeadLetterList.
type DeadLetterList struct {
	Target
	Limit int `json:"limit,omitempty" jsonschema:"how many to list at most; default 100, at most 1000"`
}

// DeadLetterReplay is the data of CommandDeadLetterReplay.
type DeadLetterReplay struct {
	Target
	ID     string `json:"id,omitempty" jsonschema:"id of the event to redeliver"`
	Source string `json:"source,omitempty" jsonschema:"source of the event; required where events of several sources have the id"`
	All    bool   `json:"all,omitempty" jsonschema:"redeliver all"`
}

// DeadLetterPurge is the data of CommandDeadLetterPurge.
type DeadLetterPurge struct {
	Target
	ID     string `json:"id,omitempty" jsonschema:"id of the event to remove"`
	Source string `json:"source,omitempty" jsonschema:"source of the event; required where events of several sources have the id"`
	All    bool   `json:"all,omitempty" jsonschema:"remove all"`
}

// CommandResult is the data of ResponseSuccess where it answers a command.
type CommandResult struct {
	Command    string       `json:"command" jsonschema:"type of the command"`
	Namespace  string       `json:"namespace" jsonschema:"namespace of the function"`
	Name       string       `json:"name" jsonschema:"name of the function"`
	UID        string       `json:"uid,omitempty" jsonschema:"UID of the LambdaFunction"`
	Generation int64        `json:"generation,omitempty" jsonschema:"generation of the LambdaFunction's spec after the command"`
	Message    string       `json:"message" jsonschema:"what was done"`
	Letters    []DeadLetter `json:"letters,omitempty" jsonschema:"dead letters that were listed"`
	Replayed   int          `json:"replayed,omitempty" jsonschema:"dead letters that were sent again and accepted"`
	Failed     int          `json:"failed,omitempty" jsonschema:"dead letters that were sent again and not accepted; they stay in the queue"`
	Purged     int          `json:"purged,omitempty" jsonschema:"dead letters that were removed"`
}

// DeadLetter is what is told of a dead letter.
type DeadLetter struct {
	ID          string `json:"id" jsonschema:"id of the event"`
	Source      string `json:"source" jsonschema:"source of the event"`
	Type        string `json:"type" jsonschema:"type of the event"`
	Subject     string `json:"subject,omitempty" jsonschema:"subject of the event"`
	ErrorCode   int    `json:"errorCode,omitempty" jsonschema:"HTTP status that the function answered; -1 where it did not answer"`
	ErrorReason string `json:"errorReason,omitempty" jsonschema:"why it could not be delivered"`
	Attempts    int    `json:"attempts,omitempty" jsonschema:"how often it was sent; left out where the broker does not say"`
	Origin      string `json:"origin,omitempty" jsonschema:"where it was sent to"`
	DeadTime    string `json:"deadTime,omitempty" jsonschema:"when it became a dead letter, as RFC 3339"`
	Size        int    `json:"size" jsonschema:"bytes of its data"`
}
