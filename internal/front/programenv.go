package front

import (
	"fmt"
	"strings"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// programEnvironment is what a program for AWS Lambda expects, beside the environment
// of the container, which has the last word where the function's author may choose.
func programEnvironment(cfg *runtime.PoolConfig, environ []string, address string) []string {
	given := map[string]string{}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		given[name] = value
	}
	or := func(values ...string) string {
		for _, v := range values {
			if v != "" {
				return v
			}
		}
		return ""
	}
	memory := int64(1024)
	if limit := runtime.MemoryLimit("/sys/fs/cgroup"); limit > 0 {
		memory = max(1, limit>>20)
	}
	format := map[string]string{"text": "Text"}[given["LAMBDA_LOG_FORMAT"]]
	level := map[string]string{"debug": "DEBUG", "warning": "WARN", "error": "ERROR"}[given["LAMBDA_LOG_LEVEL"]]
	set := map[string]string{
		"AWS_LAMBDA_RUNTIME_API":          address,
		"AWS_LAMBDA_FUNCTION_NAME":        cfg.Function,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": fmt.Sprint(memory),
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + cfg.Function,
		"AWS_LAMBDA_LOG_STREAM_NAME":      time.Now().UTC().Format("2006/01/02") + "/[$LATEST]" + or(given["HOSTNAME"], "local"),
		"AWS_LAMBDA_LOG_FORMAT":           or(format, "JSON"),
		"AWS_LAMBDA_LOG_LEVEL":            or(level, "INFO"),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_REGION":                      or(given["AWS_REGION"], given["AWS_DEFAULT_REGION"], "us-east-1"),
		"AWS_DEFAULT_REGION":              or(given["AWS_DEFAULT_REGION"], given["AWS_REGION"], "us-east-1"),
		"LAMBDA_RUNTIME_DIR":              "/lambda",
		"_HANDLER":                        cfg.Handler,
		"TZ":                              or(given["TZ"], ":UTC"),
		"LANG":                            or(given["LANG"], "C.UTF-8"),
		"NO_PROXY":                        direct(or(given["NO_PROXY"], given["no_proxy"])),
		"no_proxy":                        direct(or(given["no_proxy"], given["NO_PROXY"])),
	}
	if slots := cfg.Slots(); slots > 1 { // clients behave in another way where it is set at all
		set["AWS_LAMBDA_MAX_CONCURRENCY"] = fmt.Sprint(slots)
	}
	environment := make([]string, 0, len(set))
	for name, value := range set {
		environment = append(environment, name+"="+value)
	}
	return environment
}

// direct adds the address of the API to those that are reached without a proxy.
func direct(hosts string) string {
	if hosts == "" {
		return apiHost
	}
	return hosts + "," + apiHost
}
