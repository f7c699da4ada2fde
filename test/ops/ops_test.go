// Package ops tests the scripts of hack/ that operate a cluster, with a kubectl, a ko
// and a go that write down what they are asked.
package ops

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// fakes are programs. Each notes its arguments in $CALLS and answers as the first line
// of $ANSWERS says whose pattern they match: pattern, exit status and output, with tabs
// between them.
var fakes = map[string]string{
	"kubectl": "[[ \" $* \" != *' -f - '* ]] || sed 's/^/< /' >>\"$CALLS\"\n",
	"ko": `if [[ $1 == resolve ]]; then sed 's|ko://github.com/brunovlucena/knative-lambda-operator/cmd/\([a-z]*\)|registry.example.com/\1@sha256:0123|'; fi
`,
	"go": `case "$*" in
"run ./hack/kustomize "*) printf '# %s\nimage: ko://github.com/brunovlucena/knative-lambda-operator/cmd/controller\nversion: {app.kubernetes.io/version: devel}\n' "$3" ;;
esac
`,
	"cosign": "",
}

// tools that scripts may use besides.
var tools = []string{"bash", "env", "dirname", "mktemp", "rm", "mkdir", "cat", "sed", "awk", "grep", "find", "sort", "paste", "xargs", "sha256sum", "wc", "date", "sleep", "git"}

// answer of a fake.
type answer struct{ pattern, status, output string }

// run a script and return what it called, what it printed and whether it went well.
func run(t *testing.T, dir string, without []string, env []string, answers []answer, script string, args ...string) (calls, out string, ok bool) {
	t.Helper()
	bin := t.TempDir()
	for name, text := range fakes {
		if slices.Contains(without, name) {
			continue
		}
		text = "#!/bin/bash\necho \"" + name + " $*\" >>\"$CALLS\"\n" + text + `while IFS=$'\t' read -r pattern status output; do
  if [[ "` + name + ` $*" =~ $pattern ]]; then printf '%b' "$output"; exit "$status"; fi
done <"$ANSWERS"
`
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range tools {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	if path, err := exec.LookPath("jq"); err == nil && !slices.Contains(without, "jq") {
		if err := os.Symlink(path, filepath.Join(bin, "jq")); err != nil {
			t.Fatal(err)
		}
	}
	var lines strings.Builder
	for _, a := range answers {
		lines.WriteString(a.pattern + "\t" + a.status + "\t" + a.output + "\n")
	}
	record, list := filepath.Join(bin, "calls.txt"), filepath.Join(bin, "answers.txt")
	for file, text := range map[string]string{record: "", list: lines.String()} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("bash", append([]string{script}, args...)...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + bin, "HOME=" + bin, "KUBECONFIG=" + bin + "/none", "CALLS=" + record, "ANSWERS=" + list}, env...)
	text, err := cmd.CombinedOutput()
	noted, readErr := os.ReadFile(record)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(noted), string(text), err == nil
}

// inOrder tells whether the text has all the lines, one after the other.
func inOrder(text string, lines []string) bool {
	for _, line := range lines {
		_, rest, ok := strings.Cut(text, line)
		if !ok {
			return false
		}
		text = rest
	}
	return true
}

const registry = "KO_DOCKER_REPO=registry.example.com"

func TestScripts(t *testing.T) {
	progressing := answer{`get -n knative-lambda canary/.* -o jsonpath=\{.status.phase\}`, "0", "Progressing"}
	for _, test := range []struct {
		name    string
		script  string
		args    []string
		without []string
		env     []string
		answers []answer
		calls   []string // in this order
		never   string   // what is not called
		out     string
		fails   bool
	}{{
		name: "deploy without a cluster's client", script: "deploy.sh", args: []string{"pro"}, without: []string{"kubectl"},
		out: "kubectl is missing", fails: true,
	}, {
		name: "deploy without an environment", script: "deploy.sh", args: []string{""},
		out: `ENV: "" is no environment, give pro or studio`, fails: true, never: "kubectl",
	}, {
		name: "diff of an unknown environment", script: "deploy.sh", args: []string{"prod", "--diff"},
		out: `ENV: "prod" is no environment`, fails: true, never: "kubectl",
	}, {
		name: "studio without Flagger", script: "deploy.sh", args: []string{"studio"}, env: []string{registry},
		answers: []answer{{`get crd canaries.flagger.app`, "1", ""}}, out: "Flagger is missing", fails: true, never: "kubectl apply",
	}, {
		name: "pro without Linkerd", script: "deploy.sh", args: []string{"pro"}, env: []string{registry},
		answers: []answer{{`get crd servers.policy.linkerd.io`, "1", ""}}, out: "Linkerd is missing", fails: true, never: "kubectl apply",
	}, {
		name: "deploy without a registry", script: "deploy.sh", args: []string{"pro"},
		out: "KO_DOCKER_REPO: Set it to a registry", fails: true, never: "kubectl apply",
	}, {
		name: "pro", script: "deploy.sh", args: []string{"pro"}, env: []string{registry},
		calls: []string{"ko resolve --sbom=none --base-import-paths -f -", "kubectl apply --server-side --force-conflicts -f ",
			"deployment/knative-lambda-webhook", "deployment/knative-lambda-controller", "deployment/knative-lambda-receiver", "kubectl apply -f -", "< # config/overlays/pro/samples"},
	}, {
		name: "studio over pro", script: "deploy.sh", args: []string{"studio"}, env: []string{registry},
		out: "kubectl delete deployment -n knative-lambda knative-lambda-receiver", fails: true, never: "kubectl apply",
	}, {
		name: "studio", script: "deploy.sh", args: []string{"studio"}, env: []string{registry},
		answers: []answer{{`get deployment .* -o jsonpath`, "0", "knative-lambda-receiver"}},
		calls:   []string{"kubectl apply --server-side"}, never: "rollout status -n knative-lambda deployment/knative-lambda-receiver",
	}, {
		name: "operator that is refused", script: "deploy.sh", args: []string{"pro"}, env: []string{registry},
		answers: []answer{{`apply`, "1", ""}}, out: "The operator cannot be applied", fails: true,
	}, {
		name: "diff", script: "deploy.sh", args: []string{"studio", "--diff"}, env: []string{registry},
		answers: []answer{{`kubectl diff`, "1", "+  replicas: 2\\n"}},
		calls:   []string{"ko resolve --sbom=none --base-import-paths --push=false -f -", "kubectl diff"}, out: "+  replicas: 2", never: "kubectl apply",
	}, {
		name: "diff that fails", script: "deploy.sh", args: []string{"studio", "--diff"}, env: []string{registry},
		answers: []answer{{`kubectl diff`, "2", ""}}, out: "kubectl diff failed", fails: true,
	}, {
		name: "images", script: "images.sh", env: []string{registry},
		calls: []string{"ko build --sbom=none --base-import-paths --platform=linux/", "cmd/controller", "cmd/receiver", "cmd/webhook"},
	}, {
		name: "images without a registry", script: "images.sh", out: "KO_DOCKER_REPO: Set it", fails: true, never: "ko build",
	}, {
		name: "canary without Flagger", script: "canary.sh", args: []string{"status"}, answers: []answer{{`get crd`, "1", ""}},
		out: "Flagger is missing: the cluster has no canaries.flagger.app", fails: true,
	}, {
		name: "canary that is not there", script: "canary.sh", args: []string{"describe"}, answers: []answer{{`get -n knative-lambda canary`, "1", ""}},
		out: "only the environment studio has one", fails: true,
	}, {
		name: "canary status", script: "canary.sh", args: []string{"status"}, calls: []string{"kubectl get -n knative-lambda canary/knative-lambda-receiver -o wide"},
	}, {
		name: "canary describe", script: "canary.sh", args: []string{"describe"}, calls: []string{"kubectl describe -n knative-lambda canary/knative-lambda-receiver"},
	}, {
		name: "promote", script: "canary.sh", args: []string{"promote"}, answers: []answer{progressing},
		calls: []string{`{"spec":{"skipAnalysis":true}}`, "{.status.phase}=Succeeded", `{"spec":{"skipAnalysis":false}}`},
	}, {
		name: "promotion that does not end", script: "canary.sh", args: []string{"promote"}, answers: []answer{progressing, {`kubectl wait`, "1", ""}},
		calls: []string{`{"spec":{"skipAnalysis":true}}`, `{"spec":{"skipAnalysis":false}}`}, fails: true,
	}, {
		name: "promote without a roll-out", script: "canary.sh", args: []string{"promote"}, answers: []answer{{`jsonpath=\{.status.phase\}`, "0", "Succeeded"}},
		out: "No roll-out is going on: the canary is Succeeded", fails: true, never: "kubectl patch",
	}, {
		name: "rollback", script: "canary.sh", args: []string{"rollback"}, answers: []answer{progressing},
		calls: []string{"http://localhost:8080/rollback/open", "{.status.phase}=Failed", "http://localhost:8080/rollback/close"},
	}, {
		name: "rollback without a load tester", script: "canary.sh", args: []string{"rollback"}, answers: []answer{progressing, {`kubectl exec`, "1", ""}},
		out: "Flagger's load tester is missing", fails: true, never: "kubectl wait",
	}, {
		name: "split", script: "canary.sh", args: []string{"ab-split"}, answers: []answer{{`service-name=knative-lambda-receiver-primary`, "0", "xx"}},
		calls: []string{"kubectl get httproute -n knative-lambda knative-lambda-receiver -o", "kubectl get httproute -n knative-lambda knative-lambda-receiver-ab-test -o"},
		out:   "primary 2\n  canary 0\n",
	}, {
		name: "load test without k6-operator", script: "k6.sh", args: []string{"smoke"}, answers: []answer{{`get crd testruns.k6.io`, "1", ""}},
		out: "The k6-operator is missing", fails: true, never: "kubectl apply",
	}, {
		name: "load test", script: "k6.sh", args: []string{"smoke"}, env: []string{"TARGET=https://f.example.com"},
		calls: []string{"< # config/k6/scripts", "kubectl delete testrun -n knative-lambda smoke", "<       file: smoke.js", "value: https://f.example.com\n", "testrun/smoke --for=jsonpath={.status.stage}=finished", "k6_cr=smoke,runner=true"},
		never: "hello-python",
	}, {
		name: "load test of the sample", script: "k6.sh", args: []string{"load"}, calls: []string{"value: http://hello-python.knative-lambda.svc.cluster.local\n"},
	}, {
		name: "load test of something else", script: "k6.sh", args: []string{"stress"}, env: []string{"TARGET=hello|e"},
		out: `TARGET: "hello|e" is not the URL of a function`, fails: true, never: "kubectl apply",
	}, {
		name: "thresholds that are not met", script: "k6.sh", args: []string{"stress"}, answers: []answer{{`get jobs .* -o jsonpath`, "0", "1"}},
		out: "The thresholds of stress are not met", fails: true,
	}, {
		name: "scripts of load tests", script: "k6.sh", args: []string{"apply-tests"}, calls: []string{"go run ./hack/kustomize config/k6/scripts", "< # config/k6/scripts"},
	}, {
		name: "load tests that run", script: "k6.sh", args: []string{"status"}, calls: []string{"kubectl get -n knative-lambda testruns"},
	}, {
		name: "no load tests", script: "k6.sh", args: []string{"clean"}, calls: []string{"kubectl delete -n knative-lambda --ignore-not-found testrun/smoke testrun/load testrun/stress configmap/knative-lambda-k6"},
	}, {
		name: "metrics", script: "observe.sh", args: []string{"metrics"}, answers: []answer{{`get service`, "1", ""}, {`--raw`, "0", "go_goroutines 7\\n"}},
		calls: []string{"kubectl get --raw /api/v1/namespaces/knative-lambda/services/knative-lambda-controller:http-metrics/proxy/metrics"}, out: "go_goroutines 7",
	}, {
		name: "metrics of Flagger's receiver", script: "observe.sh", args: []string{"metrics"}, env: []string{"COMPONENT=receiver"},
		calls: []string{"services/knative-lambda-receiver-metrics:http-metrics/proxy/metrics"},
	}, {
		name: "metrics of something else", script: "observe.sh", args: []string{"metrics"}, env: []string{"COMPONENT=../x"},
		out: `COMPONENT: "../x" is none`, fails: true, never: "--raw",
	}, {
		name: "alerts without Prometheus", script: "observe.sh", args: []string{"alerts"}, env: []string{"PROMETHEUS=a/b:1"}, answers: []answer{{`--raw`, "1", ""}, {`command`, "0", ""}},
		out: "Prometheus does not answer at a/b:1", fails: true,
	}, {
		name: "alerts", script: "observe.sh", args: []string{"alerts"},
		answers: []answer{{`--raw /api/v1/namespaces/monitoring/services/prometheus-operated:9090/proxy/api/v1/alerts`, "0",
			`{"data":{"alerts":[{"state":"firing","labels":{"alertname":"KnativeLambdaCanaryFailed"},"annotations":{"summary":"bad"}},{"state":"firing","labels":{"alertname":"Watchdog"}}]}}`}},
		out: "firing\tKnativeLambdaCanaryFailed\tbad\n",
	}, {
		name: "alerts without jq", script: "observe.sh", args: []string{"alerts"}, without: []string{"jq"}, out: "jq is missing", fails: true,
	}, {
		name: "Flux without an environment", script: "flux-test-branch.sh", args: []string{""}, out: `ENV: "" is no environment`, fails: true,
	}, {
		name: "no Flux", script: "flux-test-branch.sh", args: []string{"pro"}, answers: []answer{{`get crd gitrepositories`, "1", ""}}, out: "Flux is missing", fails: true,
	}, {
		name: "Flux that keeps something else", script: "flux-test-branch.sh", args: []string{"pro"}, answers: []answer{{`get -n flux-system kustomization`, "1", ""}},
		out: "kubectl apply -k config/flux/pro", fails: true, never: "kubectl patch",
	}, {
		name: "Flux back on its branch", script: "flux-test-branch.sh", args: []string{"studio"}, env: []string{"BRANCH=environments", "NO_PUBLISH=1"},
		calls: []string{`kubectl patch -n flux-system gitrepository/knative-lambda`, `{"spec":{"ref":{"branch":"environments"}}}`, "reconcile.fluxcd.io/requestedAt=", "--for=condition=Ready"},
		never: "ko resolve",
	}, {
		name: "publishing over the source", script: "publish.sh", args: []string{"main", "pro"}, env: []string{registry}, out: `BRANCH: "main" holds the source`, fails: true,
	}, {
		name: "publishing nowhere", script: "publish.sh", args: []string{"a..b", "pro"}, env: []string{registry}, out: `BRANCH: "a..b" is no name of a branch`, fails: true,
	}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath("jq"); err != nil && test.script == "observe.sh" && test.args[0] == "alerts" && test.without == nil {
				t.Skip("jq is missing")
			}
			calls, out, ok := run(t, root, test.without, test.env, test.answers, "hack/ops/"+test.script, test.args...)
			if ok == test.fails {
				t.Errorf("succeeded: %t, want %t", ok, !test.fails)
			}
			if !strings.Contains(out, test.out) {
				t.Errorf("it does not print %q", test.out)
			}
			if !inOrder(calls, test.calls) {
				t.Errorf("it does not call %q in this order", test.calls)
			}
			if test.never != "" && strings.Contains(calls, test.never) {
				t.Errorf("it calls %s", test.never)
			}
			if t.Failed() {
				t.Logf("it printed:\n%s\nand called:\n%s", out, calls)
			}
		})
	}
}
