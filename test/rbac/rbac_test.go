//go:build e2e

// Package rbac compares the rights that config/core gives to the operator with those
// that it has used, as the API server's audit log tells. It is run after all other
// tests of a cluster.
package rbac

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

const (
	namespace = "knative-lambda"
	// fewest requests that tell anything: a run of test/e2e makes tens of thousands.
	fewest = 1000
)

// right to do something: who, verb, resource with its subresource, group.
type right struct{ who, verb, resource, group string }

func (r right) String() string {
	return strings.TrimSuffix(r.who+" "+r.verb+" "+r.resource+"."+r.group, ".")
}

// spared are rights that no test may use, and why the operator has them. who is the
// ServiceAccount without its knative-lambda-.
var spared = map[right]string{
	{"controller", "get", "lambdafunctions", "lambda.knative.io"}:                            "a status that was written meanwhile is read and written anew",
	{"controller", "get", "lambdaagents", "lambda.knative.io"}:                               "likewise",
	{"controller", "get", "approvalrequests", "lambda.knative.io"}:                           "likewise",
	{"controller", "update", "lambdafunctions", "lambda.knative.io"}:                         "what agents may be given: admission requires that the giver has it",
	{"controller", "create", "lambdafunctions", "lambda.knative.io"}:                         "likewise",
	{"controller", "delete", "lambdafunctions", "lambda.knative.io"}:                         "likewise",
	{"controller", "patch", "brokers", "eventing.knative.dev"}:                               "likewise",
	{"controller", "patch", "triggers", "eventing.knative.dev"}:                              "likewise",
	{"controller", "patch", "rabbitmqbrokerconfigs", "eventing.knative.dev"}:                 "likewise",
	{"controller", "create", "rabbitmqbrokerconfigs", "eventing.knative.dev"}:                "only with broker-class RabbitMQBroker in config-eventing",
	{"controller", "delete", "rabbitmqbrokerconfigs", "eventing.knative.dev"}:                "likewise",
	{"controller", "update", "rabbitmqbrokerconfigs", "eventing.knative.dev"}:                "what agents may be given: admission requires that the giver has it",
	{"controller", "get", "rabbitmqbrokerconfigs", "eventing.knative.dev"}:                   "likewise",
	{"controller", "get", "triggers", "eventing.knative.dev"}:                                "likewise",
	{"controller", "get", "brokers", "eventing.knative.dev"}:                                 "likewise",
	{"controller", "update", "brokers", "eventing.knative.dev"}:                              "likewise, and a broker that somebody has changed",
	{"controller", "update", "lambdaagents", "lambda.knative.io"}:                            "finalizers of objects that an older version has made",
	{"controller", "patch", "lambdafunctions/status", "lambda.knative.io"}:                   "what the generated reconcilers may choose to write with",
	{"controller", "patch", "lambdaagents/status", "lambda.knative.io"}:                      "likewise",
	{"controller", "get", "lambdafunctions/status", "lambda.knative.io"}:                     "likewise",
	{"controller", "get", "lambdaagents/status", "lambda.knative.io"}:                        "likewise",
	{"controller", "update", "lambdafunctions/finalizers", "lambda.knative.io"}:              "asked for by the API server as children are made, not by a request of its own",
	{"controller", "update", "lambdaagents/finalizers", "lambda.knative.io"}:                 "likewise",
	{"controller", "update", "serviceaccounts", ""}:                                          "labels that somebody has taken off",
	{"controller", "get", "serviceaccounts", ""}:                                             "a child that is not in the cache yet is looked at before it is said to be somebody else's",
	{"controller", "get", "roles", "rbac.authorization.k8s.io"}:                              "likewise",
	{"controller", "get", "rolebindings", "rbac.authorization.k8s.io"}:                       "likewise",
	{"controller", "get", "services", "serving.knative.dev"}:                                 "likewise",
	{"controller", "get", "domainmappings", "serving.knative.dev"}:                           "likewise",
	{"controller", "update", "domainmappings", "serving.knative.dev"}:                        "a domain whose certificate changes",
	{"controller", "create", "domainmappings", "serving.knative.dev"}:                        "only with spec.domains, which no test of a cluster has: it takes a ClusterDomainClaim",
	{"controller", "delete", "domainmappings", "serving.knative.dev"}:                        "likewise",
	{"controller", "get", "jobs", "batch"}:                                                   "likewise",
	{"controller", "get", "pingsources", "sources.knative.dev"}:                              "likewise",
	{"controller", "get", "pods", ""}:                                                        "likewise, of a build's pod",
	{"controller", "update", "rolebindings", "rbac.authorization.k8s.io"}:                    "a binding that somebody has changed",
	{"controller", "create", "leases", "coordination.k8s.io"}:                                "made once, by the first controller of a cluster",
	{"webhook", "create", "leases", "coordination.k8s.io"}:                                   "likewise",
	{"webhook", "update", "secrets", ""}:                                                     "a certificate that is about to end, or is made at the first start",
	{"webhook", "get", "secrets", ""}:                                                        "likewise",
	{"webhook", "get", "mutatingwebhookconfigurations", "admissionregistration.k8s.io"}:      "likewise, as it is written there",
	{"webhook", "get", "validatingwebhookconfigurations", "admissionregistration.k8s.io"}:    "likewise",
	{"webhook", "update", "mutatingwebhookconfigurations", "admissionregistration.k8s.io"}:   "likewise",
	{"webhook", "update", "validatingwebhookconfigurations", "admissionregistration.k8s.io"}: "likewise",
	{"webhook", "update", "namespaces/finalizers", ""}:                                       "asked for by the API server as the namespace becomes their owner",
	{"webhook", "create", "events", ""}:                                                      "told only when something goes wrong",
	{"webhook", "patch", "events", ""}:                                                       "likewise",
	{"controller", "delete", "approvalrequests", "lambda.knative.io"}:                        "an answer that has been kept for long enough",
	{"controller", "delete", "serviceaccounts", ""}:                                          "an agent's own, when it is to run as another",
	{"broker", "get", "brokers", "eventing.knative.dev"}:                                     "a Broker that may have been recreated: an event for which no Trigger is bound",
	{"controller", "create", "subjectaccessreviews", "authorization.k8s.io"}:                 "only with the feature authentication-oidc of Knative Eventing",
	{"controller", "get", "eventpolicies", "eventing.knative.dev"}:                           "likewise",
	{"controller", "get", "rabbitmqclusters", "rabbitmq.com"}:                                "only for a Broker whose configuration names a RabbitmqCluster",
	{"broker", "list", "eventtypes", "eventing.knative.dev"}:                                 "only with the feature eventtype-auto-create of Knative Eventing",
	{"broker", "watch", "eventtypes", "eventing.knative.dev"}:                                "likewise",
	{"broker", "create", "eventtypes", "eventing.knative.dev"}:                               "likewise",
	{"receiver", "create", "tokenreviews", "authentication.k8s.io"}:                          "somebody who answers an approval with a token",
	{"receiver", "get", "lambdafunctions", "lambda.knative.io"}:                              "a function that is not in the cache yet",
	{"receiver", "get", "lambdaagents", "lambda.knative.io"}:                                 "likewise",
	{"receiver", "get", "approvalrequests", "lambda.knative.io"}:                             "likewise",
	{"receiver", "update", "secrets", ""}:                                                    "the keyring, if the receiver starts before the controller",
	{"receiver", "get", "configmaps", ""}:                                                    "configuration, read at a start where it is not watched yet",
}

// refusable are rights that a namespace's administrator gives or not: being without is
// an answer.
var refusable = map[right]bool{
	{"receiver", "impersonate", "serviceaccounts", ""}: true, // commands
	{"broker", "list", "configmaps", ""}:               true, // CA certificates of Knative Eventing
}

// TestGrantedAndUsed: what the operator may do, it does; what it does, it may.
func TestGrantedAndUsed(t *testing.T) {
	path := os.Getenv("LAMBDA_AUDIT_LOG")
	if path == "" {
		t.Skip("LAMBDA_AUDIT_LOG: missing; without the audit log of an API server nothing tells what was used")
	}
	used, refused, requests := readAudit(t, path)
	if requests < fewest {
		t.Skipf("the audit log has %d requests of the operator, expected %d at least: run this after test/e2e", requests, fewest)
	}
	granted := grantedRights(t)
	for _, r := range sorted(granted) {
		if _, why := spared[r]; !used[r] && !why {
			t.Errorf("granted and never used: %s; take it from config/core/200-roles, or say here why it is kept", r)
		}
	}
	for _, r := range sorted(refused) {
		if refusable[r] {
			continue
		}
		t.Errorf("asked for and refused: %s", r)
	}
	for r := range spared {
		if !granted[r] {
			t.Errorf("spared, but nobody has it any more: %s", r)
		}
	}
	t.Logf("%d requests, %d rights granted, %d of them used", requests, len(granted), len(used))
}

func sorted(rights map[right]bool) []right {
	return slices.SortedFunc(maps.Keys(rights), func(a, b right) int { return strings.Compare(a.String(), b.String()) })
}

// event of the audit log, as far as it is read here.
type event struct {
	Verb             string
	User             struct{ Username string }
	ImpersonatedUser *struct{ Username string }
	ObjectRef        *struct{ Resource, Subresource, APIGroup string }
	Annotations      map[string]string
}

// readAudit tells which rights were used, which were asked for in vain, and by how many
// requests.
func readAudit(t *testing.T, path string) (used, refused map[right]bool, requests int) {
	t.Helper()
	used, refused = map[right]bool{}, map[right]bool{}
	files, err := filepath.Glob(strings.TrimSuffix(path, ".log") + "*.log")
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no audit log %s: %v", path, err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			var e event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				continue // the line that is being written
			}
			if r, ok := asked(&e); ok {
				requests++
				if e.Annotations["authorization.k8s.io/decision"] == "forbid" {
					refused[r] = true
				} else {
					used[r] = true
				}
			}
		}
		f.Close()
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return used, refused, requests
}

// asked is the right that a request took. As somebody else it took that of being it.
func asked(e *event) (right, bool) {
	who, ours := strings.CutPrefix(e.User.Username, "system:serviceaccount:"+namespace+":knative-lambda-")
	if !ours || e.ObjectRef == nil {
		return right{}, false
	}
	if e.ImpersonatedUser != nil {
		return right{who, "impersonate", "serviceaccounts", ""}, true
	}
	resource := e.ObjectRef.Resource
	if sub := e.ObjectRef.Subresource; sub != "" {
		resource += "/" + sub
	}
	return right{who, e.Verb, resource, e.ObjectRef.APIGroup}, true
}

// roles, and who has them, of config/core.
type roles struct {
	rules    map[string][]rbacv1.PolicyRule
	bindings []rbacv1.RoleBinding
}

func readRoles(t *testing.T) *roles {
	t.Helper()
	all := &roles{rules: map[string][]rbacv1.PolicyRule{}}
	files, err := filepath.Glob("../../config/core/200-roles/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no roles:", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
			var raw json.RawMessage
			if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			all.add(t, raw)
		}
	}
	return all
}

func (all *roles) add(t *testing.T, raw []byte) {
	t.Helper()
	var o rbacv1.ClusterRole // a Role is one without aggregation
	var b rbacv1.RoleBinding // a ClusterRoleBinding looks the same
	if err := json.Unmarshal(raw, &o); err != nil {
		t.Fatal(err)
	}
	switch o.Kind {
	case "Role", "ClusterRole":
		all.rules[o.Kind+"/"+o.Name] = o.Rules
	case "RoleBinding", "ClusterRoleBinding":
		if err := json.Unmarshal(raw, &b); err != nil {
			t.Fatal(err)
		}
		all.bindings = append(all.bindings, b)
	}
}

// grantedRights of the operator's ServiceAccounts. Roles of others, and those that
// Kubernetes fills in, are not in it.
func grantedRights(t *testing.T) map[right]bool {
	t.Helper()
	all, granted := readRoles(t), map[right]bool{}
	for _, b := range all.bindings {
		for _, subject := range b.Subjects {
			who := strings.TrimPrefix(subject.Name, "knative-lambda-")
			for _, rule := range all.rules[b.RoleRef.Kind+"/"+b.RoleRef.Name] {
				for _, group := range rule.APIGroups {
					for _, resource := range rule.Resources {
						for _, verb := range rule.Verbs {
							granted[right{who, verb, resource, group}] = true
						}
					}
				}
			}
		}
	}
	return granted
}
