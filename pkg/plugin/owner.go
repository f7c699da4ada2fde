package plugin

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

// types by the names that kubectl takes for them.
var ownerKinds = map[string]deadletter.Kind{
	"function": deadletter.KindFunction, "functions": deadletter.KindFunction,
	"lambdafunction": deadletter.KindFunction, "lambdafunctions": deadletter.KindFunction, "lf": deadletter.KindFunction, "lfunc": deadletter.KindFunction,
	"agent": deadletter.KindAgent, "agents": deadletter.KindAgent,
	"lambdaagent": deadletter.KindAgent, "lambdaagents": deadletter.KindAgent, "la": deadletter.KindAgent, "lagent": deadletter.KindAgent,
}

// owner of dead letters, as kubectl names objects: TYPE/NAME. A plain NAME is a
// function.
func (o *options) owner(arg string) (deadletter.Owner, error) {
	kind, name, typed := strings.Cut(arg, "/")
	if !typed {
		kind, name = "function", arg
	}
	kind, _, _ = strings.Cut(strings.ToLower(kind), ".") // lambdaagents.lambda.knative.io
	k, ok := ownerKinds[kind]
	if !ok || name == "" || strings.Contains(name, "/") {
		return deadletter.Owner{}, fmt.Errorf("%q: expected the name of a function, or function/NAME or agent/NAME", arg)
	}
	return deadletter.Owner{Kind: k, NamespacedName: types.NamespacedName{Namespace: o.namespace, Name: name}}, nil
}
