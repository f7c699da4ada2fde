package control

import (
	"errors"
	"os"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

// hostPaths are the places outside of the cluster's own directory in which
// kubelet, containerd and CNI keep links and sockets, whatever they are told.
var hostPaths = []string{
	"/run/containerd", "/usr/libexec/kubernetes", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods",
}

// absentPaths lists which of them were not there before up.
const absentPaths = "absent.before"

func rememberAbsent(e *env.Env) error {
	if _, err := os.Stat(e.Path(absentPaths)); err == nil {
		return nil
	}
	var absent []string
	for _, path := range hostPaths {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			absent = append(absent, path)
		}
	}
	return e.Write(absentPaths, strings.Join(absent, "\n"))
}

// removeAbsent removes what was not there before up. What was, is somebody
// else's too, and stays with what is in it.
func removeAbsent(e *env.Env) error {
	before, err := os.ReadFile(e.Path(absentPaths))
	if err != nil {
		return nil //nolint:nilerr // up never came so far
	}
	var errs []error
	for _, path := range strings.Fields(string(before)) {
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(errs...)
}
