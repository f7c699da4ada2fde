package main

import (
	"encoding/json"
	"fmt"
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
	flaskPort   = 18432
)

func contestants(o *options, dir, binary, worker string) []*contestant {
	command, err := json.Marshal([]string{o.python, "-u", worker})
	if err != nil { // strings
		panic(err)
	}
	env := []string{"PORT=" + strconv.Itoa(runtimePort), "LAMBDA_HANDLER=main.handler", "LAMBDA_TASK_ROOT=" + dir, "LAMBDA_WORKERS=" + strconv.Itoa(o.workers),
		"LAMBDA_WORKER_COMMAND=" + string(command), "LAMBDA_METRICS_PORT=18433", "LAMBDA_DRAIN_TIMEOUT=1s", "LAMBDA_LOG_LEVEL=error"}
	runtime := contestant{command: []string{binary}, dir: dir, env: env, address: fmt.Sprintf("127.0.0.1:%d", runtimePort), want: reply}
	plain, binaryMode := runtime, runtime
	plain.name, plain.request = "lambda runtime, plain JSON", request("application/json", body)
	binaryMode.name = "lambda runtime, CloudEvent (binary)"
	binaryMode.request = request("application/json\r\nCe-Specversion: 1.0\r\nCe-Id: 1\r\nCe-Source: perf\r\nCe-Type: io.example.perf", body)
	rivals := func(name string, args ...string) *contestant {
		return &contestant{name: name, rival: true, dir: dir, address: fmt.Sprintf("127.0.0.1:%d", flaskPort),
			command: append([]string{o.python, "-m", "gunicorn", "--bind", fmt.Sprintf("127.0.0.1:%d", flaskPort), "--log-level", "error", "--workers", strconv.Itoa(o.workers)}, append(args, "app:app")...),
			request: request("application/json", body), want: flaskReply}
	}
	return []*contestant{&plain, &binaryMode,
		rivals("Flask, gunicorn with sync workers", "--worker-class", "sync"),
		rivals("Flask, gunicorn with threads and keep-alive", "--worker-class", "gthread", "--threads", "8", "--keep-alive", "60")}
}

// request is an HTTP request with the body; headers begin with the content type.
func request(headers, body string) []byte {
	return fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: perf\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", headers, len(body), body)
}
