package front

import (
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestOrphans: what handlers' processes leave behind does not pile up.
func TestOrphans(t *testing.T) {
	const setChildSubreaper = 36 // of prctl
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0); errno != 0 {
		t.Fatal(errno)
	}
	f := serve(t, nil, inProcesses(t), func(s *setup) { s.reaps = true })
	pid := f.post(t, "/", "").body
	for range 5 {
		if got := f.post(t, "/orphans", ""); got.body != pid {
			t.Errorf("answered %+v, want worker %s", got, pid)
		}
	}
	eventually(t, "no zombies", func() bool {
		return !slices.ContainsFunc(processes(), isZombieChild)
	})
	if got := f.post(t, "/exit", ""); !strings.Contains(got.body, "exit status 3") {
		t.Errorf("answered %+v: the worker's own status was lost", got)
	}
}
