package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// contestant is a server under test.
type contestant struct {
	name    string
	rival   bool // not ours
	command []string
	dir     string
	env     []string
	address string
	request []byte
	want    string

	results []*result
	first   []time.Duration // from start to first answer
}

const (
	runtimePort = 18431
	rivalPort   = 18432
	metricsPort = 18433
)

// contest is a language and what its functions are served by otherwise.
type contest struct {
	language string
	rivals   string
	// prepare makes the contestants; ours come first. dir holds the language's
	// testdata and may be written to.
	prepare func(ctx context.Context, o *options, dir string) ([]*contestant, error)
}

var contests = []contest{
	{"python", "Flask under gunicorn", python},
	{"nodejs", "@google-cloud/functions-framework", nodejs},
	{"go", "functions-framework-go", golang},
}

func python(ctx context.Context, o *options, dir string) ([]*contestant, error) {
	if err := exec.CommandContext(ctx, o.python, "-c", "import flask, gunicorn").Run(); err != nil {
		return nil, fmt.Errorf("%s cannot import flask and gunicorn (Debian: apt-get install python3-flask gunicorn): %w", o.python, err)
	}
	all, err := ours(ctx, o, dir, reply, "main.handler", o.python, "-u", "runtimes/python/worker/worker.py")
	if err != nil {
		return nil, err
	}
	rival := func(name string, args ...string) *contestant {
		return &contestant{name: name, rival: true, dir: dir, address: fmt.Sprintf("127.0.0.1:%d", rivalPort),
			command: append([]string{o.python, "-m", "gunicorn", "--bind", fmt.Sprintf("127.0.0.1:%d", rivalPort), "--log-level", "error", "--workers", strconv.Itoa(o.workers)}, append(args, "app:app")...),
			request: request("application/json"), want: compactReply}
	}
	return append(all,
		rival("Flask, gunicorn with sync workers", "--worker-class", "sync"),
		rival("Flask, gunicorn with threads and keep-alive", "--worker-class", "gthread", "--threads", "8", "--keep-alive", "60")), nil
}

func nodejs(ctx context.Context, o *options, dir string) ([]*contestant, error) {
	if err := quietly(ctx, dir, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"); err != nil {
		return nil, err
	}
	all, err := ours(ctx, o, dir, compactReply, "index.handler", "node", "runtimes/nodejs/worker/worker.js")
	if err != nil {
		return nil, err
	}
	return append(all, &contestant{name: "functions-framework for Node.js", rival: true, dir: dir, address: fmt.Sprintf("127.0.0.1:%d", rivalPort),
		command: []string{"node", "node_modules/.bin/functions-framework", "--target=handler", "--port=" + strconv.Itoa(rivalPort)},
		env:     []string{"NODE_ENV=production"}, request: request("application/json"), want: compactReply}), nil
}

func golang(ctx context.Context, o *options, dir string) ([]*contestant, error) {
	sdk, err := filepath.Abs("runtimes/go/sdk")
	if err != nil {
		return nil, err
	}
	program, rival := filepath.Join(dir, "lambda"), filepath.Join(dir, "framework")
	if err := quietly(ctx, sdk, "go", "run", "./runtimes/go/build", "-source", dir, "-sdk", sdk, "-out", program); err != nil {
		return nil, err
	}
	if err := quietly(ctx, "test/perf/runtime/testdata/go-framework", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", rival, "."); err != nil {
		return nil, err
	}
	return append(fronts(dir, compactReply, environment(o, dir), program),
		&contestant{name: "functions-framework-go", rival: true, dir: dir, command: []string{rival}, env: []string{"PORT=" + strconv.Itoa(rivalPort), "FUNCTION_TARGET=handler"},
			address: fmt.Sprintf("127.0.0.1:%d", rivalPort), request: request("application/json"), want: compactReply}), nil
}

// ours is the runtime in front of workers of a language: plain requests and events.
func ours(ctx context.Context, o *options, dir, want, handler string, worker ...string) ([]*contestant, error) {
	binary := filepath.Join(dir, "runtime")
	if err := quietly(ctx, ".", "go", "build", "-trimpath", "-o", binary, "./cmd/runtime"); err != nil {
		return nil, err
	}
	file, err := filepath.Abs(worker[len(worker)-1])
	if err == nil {
		_, err = os.Stat(file)
	}
	if err != nil {
		return nil, fmt.Errorf("expected to be run from the root of the repository: %w", err)
	}
	worker[len(worker)-1] = file
	command, err := json.Marshal(worker)
	if err != nil {
		return nil, err
	}
	return fronts(dir, want, append(environment(o, dir), "LAMBDA_HANDLER="+handler, "LAMBDA_WORKER_COMMAND="+string(command)), binary), nil
}

func environment(o *options, dir string) []string {
	return []string{"PORT=" + strconv.Itoa(runtimePort), "LAMBDA_METRICS_PORT=" + strconv.Itoa(metricsPort), "LAMBDA_TASK_ROOT=" + dir,
		"LAMBDA_WORKERS=" + strconv.Itoa(o.workers), "LAMBDA_DRAIN_TIMEOUT=1s", "LAMBDA_LOG_LEVEL=error"}
}

func fronts(dir, want string, env []string, program string) []*contestant {
	plain := contestant{name: "lambda runtime, plain JSON", command: []string{program}, dir: dir, env: env, address: fmt.Sprintf("127.0.0.1:%d", runtimePort),
		request: request("application/json"), want: want}
	event := plain
	event.name = "lambda runtime, CloudEvent (binary)"
	event.request = request("application/json\r\nCe-Specversion: 1.0\r\nCe-Id: 1\r\nCe-Source: perf\r\nCe-Type: io.example.perf")
	return []*contestant{&plain, &event}
}

// quietly runs a program, whose words are told only when it fails.
func quietly(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("%s %s: %w", name, args[0], err), errors.New(string(out)))
	}
	return nil
}

// request is an HTTP request with body; headers begin with the content type.
func request(headers string) []byte {
	return fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: perf\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", headers, len(body), body)
}
