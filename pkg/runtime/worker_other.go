//go:build !linux

package runtime

import "syscall"

// ProcessAttributes put a worker into a process group of its own. It ends with
// this program, whose end closes its socket, unless the handler never returns.
func ProcessAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
