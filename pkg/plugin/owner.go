package plugin

import (
	"fmt"
	"strings"

	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
)

// ownerKinds by the names that kubectl takes for them.
var ownerKinds = map[string]receiverv1.Kind{
	"function": receiverv1.KindFunction, "functions": receiverv1.KindFunction,
	"lambdafunction": receiverv1.KindFunction, "lambdafunctions": receiverv1.KindFunction, "lf": receiverv1.KindFunction, "lfunc": receiverv1.KindFunction,
	"agent": receiverv1.KindAgent, "agents": receiverv1.KindAgent,
	"lambdaagent": receiverv1.KindAgent, "lambdaagents": receiverv1.KindAgent, "la": receiverv1.KindAgent, "lagent": receiverv1.KindAgent,
}

// owner of dead letters.
type owner struct {
	kind            receiverv1.Kind
	namespace, name string
}

func (o owner) path() string { return receiverv1.DeadLettersPath(o.kind, o.namespace, o.name) }

// owner of dead letters, as kubectl names objects: TYPE/NAME. A plain NAME is a
// function.
func (o *options) owner(arg string) (owner, error) {
	kind, name, typed := strings.Cut(arg, "/")
	if !typed {
		kind, name = "function", arg
	}
	kind, _, _ = strings.Cut(strings.ToLower(kind), ".") // lambdaagents.lambda.knative.io
	k, ok := ownerKinds[kind]
	if !ok || name == "" || strings.Contains(name, "/") {
		return owner{}, fmt.Errorf("%q: expected the name of a function, or function/NAME or agent/NAME", arg)
	}
	return owner{kind: k, namespace: o.namespace, name: name}, nil
}
