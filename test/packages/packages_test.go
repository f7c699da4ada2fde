package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackages installs each package with the program of its language, where that is
// there.
func TestPackages(t *testing.T) {
	s := Start(t, "127.0.0.1", "hello")
	for _, tt := range []struct {
		registry string
		manifest map[string]string
		env      []string
		command  []string
	}{
		{s.PyPI, nil, []string{"PIP_INDEX_URL=" + s.PyPI, "PIP_CONFIG_FILE=/dev/null"},
			[]string{"python3", "-m", "pip", "install", "--quiet", "--no-cache-dir", "--target", "out", Python + "==" + Version}},
		{s.NPM, map[string]string{"package.json": `{"dependencies": {"` + Node + `": "^1.0.0"}}`}, []string{"npm_config_registry=" + s.NPM, "npm_config_cache=" + t.TempDir()},
			[]string{"npm", "install", "--no-audit", "--no-fund"}},
		{s.GoProxy, map[string]string{"go.mod": "module function\n\ngo 1.25\n", "main.go": "package function\n\nimport _ \"" + Go + "\"\n"},
			[]string{"GOPROXY=" + s.GoProxy, "GONOSUMDB=" + Go, "GOMODCACHE=" + t.TempDir(), "GOFLAGS=-modcacherw", "GOWORK=off"},
			[]string{"go", "get", Go + "@v" + Version}},
	} {
		t.Run(tt.command[0], func(t *testing.T) {
			if _, err := exec.LookPath(tt.command[0]); err != nil {
				t.Skip(err)
			}
			dir := t.TempDir()
			for name, text := range tt.manifest {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(tt.command[0], tt.command[1:]...)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), tt.env...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", strings.Join(tt.command, " "), err, out)
			}
			if !s.Asked(tt.registry) {
				t.Errorf("nobody has taken the package from %s", tt.registry)
			}
		})
	}
}
