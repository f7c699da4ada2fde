package env

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Key is a short name of contents.
func Key(contents ...string) string {
	h := sha256.New()
	for _, c := range contents {
		fmt.Fprintf(h, "%d:%s", len(c), c)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// ModuleKey names everything that a build of a third-party module depends on.
func (e *Env) ModuleKey(module string) (string, error) {
	dir := filepath.Join(e.Root, "third_party", module)
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	parts := []string{runtime.Version(), runtime.GOARCH}
	for _, file := range append([]string{filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum")}, files...) {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		parts = append(parts, string(text))
	}
	return Key(parts...), nil
}

// Once returns a directory in the cache, made by do at most once: do fills a
// temporary one, which is renamed when it is whole.
func (e *Env) Once(name, key string, do func(dir string) error) (string, error) {
	lock, _ := e.once.LoadOrStore(name, &sync.Mutex{})
	lock.(*sync.Mutex).Lock()
	defer lock.(*sync.Mutex).Unlock()
	dir := filepath.Join(e.Cache, name+"-"+key)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(e.Cache, 0o755); err != nil {
		return "", err
	}
	temp, err := e.Temp(name)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	if err := os.Chmod(temp, 0o755); err != nil {
		return "", err
	}
	if err := do(temp); err != nil {
		return "", err
	}
	return dir, os.Rename(temp, dir)
}

// Build compiles programs of a third-party module and returns the directory they
// are in. One build at a time: the compiler uses all cores by itself.
func (e *Env) Build(ctx context.Context, module, ldflags string, packages ...string) (string, error) {
	key, err := e.ModuleKey(module)
	if err != nil {
		return "", err
	}
	return e.Once("bin-"+module, Key(key, ldflags, strings.Join(packages, " ")), func(dir string) error {
		e.build.Lock()
		defer e.build.Unlock()
		e.Say(module, "building %s", strings.Join(packages, " "))
		start := time.Now()
		args := append([]string{"build", "-trimpath", "-ldflags", "-s -w " + ldflags, "-o", dir + "/"}, packages...)
		if _, err := e.Command(ctx, filepath.Join(e.Root, "third_party", module), []string{"CGO_ENABLED=0", "GOFLAGS="}, nil, "go", args...); err != nil {
			return err
		}
		e.Say(module, "built in %v", time.Since(start).Round(time.Second))
		return nil
	})
}

// ModuleDir is where a module that a third-party module pins has its files.
func (e *Env) ModuleDir(ctx context.Context, module, path string) (string, error) {
	dir := filepath.Join(e.Root, "third_party", module)
	if _, err := e.Command(ctx, dir, nil, nil, "go", "mod", "download", path); err != nil {
		return "", err
	}
	out, err := e.Command(ctx, dir, nil, nil, "go", "list", "-m", "-f", "{{.Dir}}", path)
	return strings.TrimSpace(out), err
}
