//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/test"
)

// thresholdsMissed is what k6 exits with where thresholds are not met.
const thresholdsMissed = 99

// TestK6 runs the load tests of test/k6 at a part of their length against a function.
func TestK6(t *testing.T) {
	ctx := t.Context()
	k6 := buildK6(ctx, t)
	checkLengths(ctx, t, k6)

	namespace := clients.Namespace(ctx, t)
	f := ready(ctx, t, create(ctx, t, python(namespace, "loaded", greeting("hello"))))
	answers(ctx, t, f, greetingBody("hello"))
	here := "TARGET=" + f.Status.URL.String()
	host := "HOST=" + f.Status.URL.Host
	if ingress := os.Getenv("LAMBDA_INGRESS"); ingress != "" {
		here = "TARGET=http://" + ingress
	}
	patient := "MAX_P95=3000" // the cluster is a small machine that does other things
	for _, c := range []struct {
		name, script string
		env          []string
		want         int
		says         string
	}{
		{"smoke", "smoke.js", []string{here, host, patient, "SCALE=0.2"}, 0, ""},
		{"load", "load.js", []string{here, host, patient, "SCALE=0.02", "USERS=0.25"}, 0, ""},
		{"stress", "stress.js", []string{here, host, "SCALE=0.01", "USERS=0.05"}, 0, ""},
		{"threshold that nothing meets", "smoke.js", []string{here, host, "SCALE=0.1", "MAX_P95=0.001"}, thresholdsMissed, "http_req_duration"},
		{"function that is not there", "smoke.js", []string{here, "HOST=nothing." + f.Status.URL.Host, "SCALE=0.1"}, thresholdsMissed, "http_req_failed"},
	} {
		code, out := runK6(ctx, t, k6, append([]string{"run", "--quiet", "--no-color"}, flags(c.env, c.script)...)...)
		if code != c.want {
			t.Errorf("%s: k6 exits with %d, want %d: %s", c.name, code, c.want, out)
		}
		test.Contains(t, c.name, out, c.says)
	}
	if code, out := runK6(ctx, t, k6, "run", "--quiet", "smoke.js"); code == 0 || !strings.Contains(out, "TARGET: give the URL of a function") {
		t.Errorf("without TARGET k6 exits with %d: %s", code, out)
	}
	remove(ctx, t, f)
}

// checkLengths: how long the tests are when nothing shortens them.
func checkLengths(ctx context.Context, t *testing.T, k6 string) {
	t.Helper()
	for script, want := range map[string]time.Duration{"smoke.js": 30 * time.Second, "load.js": 13 * time.Minute, "stress.js": 24 * time.Minute} {
		code, out := runK6(ctx, t, k6, append([]string{"inspect"}, flags([]string{"TARGET=http://example.com"}, script)...)...)
		var options struct {
			Duration string
			Stages   []struct{ Duration string }
		}
		if err := json.Unmarshal([]byte(out), &options); code != 0 || err != nil {
			t.Fatalf("k6 inspect %s exits with %d and prints %s: %v", script, code, out, err)
		}
		lengths := []string{options.Duration}
		for _, s := range options.Stages {
			lengths = append(lengths, s.Duration)
		}
		var got time.Duration
		for _, l := range lengths {
			if l == "" {
				continue
			}
			d, err := time.ParseDuration(l)
			if err != nil {
				t.Fatal(err)
			}
			got += d
		}
		if got != want {
			t.Errorf("%s takes %v, want %v", script, got, want)
		}
	}
}

// flags that set a script's environment, and the script.
func flags(env []string, script string) []string {
	var args []string
	for _, e := range env {
		args = append(args, "-e", e)
	}
	return append(args, script)
}

// buildK6 builds what third_party/k6 pins. It takes minutes the first time.
func buildK6(ctx context.Context, t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/k6")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "go.k6.io/k6")
	cmd.Dir = "../../third_party/k6"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building k6: %v: %s", err, out)
	}
	return path
}

// runK6 in the folder of the scripts, and return its exit code and output.
func runK6(ctx context.Context, t *testing.T, k6 string, args ...string) (int, string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, k6, args...)
	cmd.Dir = "../k6"
	cmd.Env = append(os.Environ(), "K6_NO_USAGE_REPORT=true")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}
