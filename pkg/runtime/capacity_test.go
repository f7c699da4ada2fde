package runtime

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDefaultWorkers(t *testing.T) {
	for _, tt := range []struct {
		cpus   int
		memory int64
		want   int
	}{{1, 0, 2}, {3, 0, 3}, {64, 0, 8}, {4, 1 << 30, 4}, {4, 300 << 20, 2}, {4, 128 << 20, 1}, {4, 1, 1}} {
		if got := defaultWorkers(tt.cpus, tt.memory); got != tt.want {
			t.Errorf("%d workers for %d CPUs and %d bytes, want %d", got, tt.cpus, tt.memory, tt.want)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	for _, tt := range []struct {
		file, text string
		want       int64
	}{
		{"memory.max", "536870912\n", 512 << 20},
		{"memory.max", "max\n", 0},
		{"memory/memory.limit_in_bytes", "134217728\n", 128 << 20},
		{"memory/memory.limit_in_bytes", "9223372036854771712\n", 0},
		{"other", "1", 0},
	} {
		root := t.TempDir()
		path := filepath.Join(root, tt.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := MemoryLimit(root); got != tt.want {
			t.Errorf("%s with %q: %d, want %d", tt.file, tt.text, got, tt.want)
		}
	}
}
