//go:build !linux

package runtime

import "syscall"

// processAttributes put a worker into a process group of its own. It ends with
// this program, whose end closes its socket, unless the handler never returns.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
