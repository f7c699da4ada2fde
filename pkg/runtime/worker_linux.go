package runtime

import "syscall"

// ProcessAttributes put a worker into a process group of its own, and end it
// with this program however that ends.
func ProcessAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
