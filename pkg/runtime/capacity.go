package runtime

import (
	"bytes"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strconv"
)

const (
	// leastWorkers and mostWorkers bound the number that is computed from the CPUs.
	leastWorkers = 2
	mostWorkers  = 8
	// workerMemory is what each needs at least, in bytes: less makes fewer workers.
	workerMemory = 128 << 20
)

// defaultWorkers is one for each CPU of the container's limit, else of the node.
func defaultWorkers(cpus int, memory int64) int {
	n := min(max(cpus, leastWorkers), mostWorkers)
	if memory > 0 {
		n = min(n, int(max(1, memory/workerMemory)))
	}
	return n
}

// computedWorkers of this container. GOMAXPROCS follows its CPU limit.
func computedWorkers() int {
	return defaultWorkers(goruntime.GOMAXPROCS(0), MemoryLimit("/sys/fs/cgroup"))
}

// MemoryLimit of the control group that is mounted there, in bytes; 0 where there is none.
func MemoryLimit(root string) int64 {
	for _, name := range []string{"memory.max", "memory/memory.limit_in_bytes"} { // of version 2 and 1
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			continue
		}
		limit, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
		if err != nil || limit >= 1<<60 { // "max", and what version 1 has for it
			return 0
		}
		return limit
	}
	return 0
}
