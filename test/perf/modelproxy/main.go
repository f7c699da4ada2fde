// Command modelproxy measures what the model proxy adds to a call: the same calls of
// the same model server, directly and through the proxy, in turns within one run.
//
//	go run ./test/perf/modelproxy [-calls 3000] [-goal 1ms]
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/modelproxy"
	"github.com/brunovlucena/knative-lambda-operator/test/modelserver"
)

const question = `{"model":"m","messages":[{"role":"user","content":"How long does it take to get an answer to this?"}]%s}`

func main() {
	calls := flag.Int("calls", 3000, "of each kind")
	goal := flag.Duration("goal", time.Millisecond, "the most that the proxy may add at the median")
	flag.Parse()
	if err := run(*calls, *goal); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(calls int, goal time.Duration) error {
	server := httptest.NewServer(&modelserver.Server{})
	defer server.Close()
	proxy, stop, err := startProxy(server.URL)
	if err != nil {
		return err
	}
	defer stop()
	missed := false
	for _, kind := range []struct{ name, extra string }{{"whole answer", ""}, {"first streamed chunk", `,"stream":true`}} {
		body := fmt.Sprintf(question, kind.extra)
		took := map[string][]time.Duration{}
		for i := range calls + 200 {
			for name, url := range map[string]string{"direct": server.URL, "proxy": proxy} {
				d, err := ask(url+"/v1/chat/completions", body)
				if err != nil {
					return err
				}
				if i >= 200 { // the first ones warm up
					took[name] = append(took[name], d)
				}
			}
		}
		added := percentile(took["proxy"], .5) - percentile(took["direct"], .5)
		for _, name := range []string{"direct", "proxy"} {
			fmt.Printf("%-22s %-7s p50 %-10v p99 %v\n", kind.name, name, percentile(took[name], .5), percentile(took[name], .99))
		}
		fmt.Printf("%-22s added at p50: %v (goal: at most %v)\n", kind.name, added, goal)
		missed = missed || added > goal
	}
	if missed {
		return fmt.Errorf("the proxy adds more than %v", goal)
	}
	return nil
}

// startProxy runs the proxy as its command does, with a budget, in front of the
// endpoint.
func startProxy(endpoint string) (address string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "modelproxy")
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	if err := listener.Close(); err != nil {
		return "", nil, err
	}
	config := filepath.Join(dir, "agent.json")
	document := `{"name":"perf","modelProxy":{"provider":"openai-compatible","endpoint":"` + endpoint +
		`","model":"m","temperature":0.7,"budget":{"tokens":1000000000,"window":"24h"},"maxReplicas":1}}`
	if err := os.WriteFile(config, []byte(document), 0o600); err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- modelproxy.Run(ctx, func(name string) string {
			return map[string]string{"LAMBDA_AGENT_CONFIG": config, "LAMBDA_MODEL_PROXY_PORT": port, "LAMBDA_MODEL_PROXY_STATE": dir,
				"LAMBDA_METRICS_PORT": "0", "LAMBDA_MODEL_KEY": "key"}[name]
		})
	}()
	stop = func() {
		cancel()
		<-ended
		_ = os.RemoveAll(dir)
	}
	address = "http://127.0.0.1:" + port
	for range 100 {
		if response, err := http.Get(address + "/healthz"); err == nil {
			return address, stop, response.Body.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	return "", nil, fmt.Errorf("the proxy does not come up")
}

// ask and tell how long the first line took; the rest is read as well.
func ask(url, body string) (time.Duration, error) {
	start := time.Now()
	response, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	answer := bufio.NewReader(response.Body)
	if _, err := answer.ReadString('\n'); err != nil && err != io.EOF {
		return 0, err
	}
	took := time.Since(start)
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s answered %d", url, response.StatusCode)
	}
	_, err = io.Copy(io.Discard, answer)
	return took, err
}

func percentile(all []time.Duration, p float64) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[int(float64(len(sorted)-1)*p)]
}
