// Package v1 has the paths and types of the receiver's HTTP API, for its clients.
package v1

// Kind of an owner of dead letters.
type Kind string

// Kinds of owners.
const (
	KindFunction Kind = "function"
	KindAgent    Kind = "agent"
)

// Parameters of queries.
const (
	// ParamID is the id of an event, or of an approval request.
	ParamID = "id"
	// ParamSource is the source of an event. It goes with ParamID, and is required where
	// events of several sources have the id.
	ParamSource = "source"
	// ParamAll is true to select all dead letters, in place of ParamID.
	ParamAll = "all"
	// ParamLimit is the number of dead letters that are listed at most, up to MaxListed.
	ParamLimit = "limit"
)

// MaxListed is the largest value of ParamLimit.
const MaxListed = 1000

// DeadLettersPath of an owner: GET lists dead letters, or shows those of ParamID, and
// DELETE purges them.
func DeadLettersPath(kind Kind, namespace, name string) string {
	return base(namespace) + string(kind) + "s/" + name + "/deadletters"
}

// ReplayPath of an owner: POST redelivers dead letters.
func ReplayPath(kind Kind, namespace, name string) string {
	return DeadLettersPath(kind, namespace, name) + "/replay"
}

// OutcomesPath of an owner: GET shows the outcomes of the asynchronous call of ParamID.
func OutcomesPath(kind Kind, namespace, name string) string {
	return base(namespace) + string(kind) + "s/" + name + "/outcomes"
}

// ApprovalsPath of an agent: GET lists approval requests, or shows that of ParamID, and
// POST decides it.
func ApprovalsPath(namespace, agent string) string {
	return base(namespace) + "agents/" + agent + "/approvals"
}

func base(namespace string) string { return "/v1/namespaces/" + namespace + "/" }
