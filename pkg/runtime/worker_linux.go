package runtime

import "syscall"

// processAttributes put a worker into a process group of its own, and end it
// with this program however that ends.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
