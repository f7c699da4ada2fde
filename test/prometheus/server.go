package prometheus

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

const (
	// Interval between two scrapes: shorter than that of the monitors, as a test is.
	Interval = 2 * time.Second
	// RateInterval is what Grafana puts in the place of $__rate_interval, at least.
	RateInterval = "30s"
	// discovery is how often it is looked for new targets.
	discovery = 2 * time.Second
	// patience with Prometheus while it starts, and with one answer.
	patience = 30 * time.Second
)

// Server is a Prometheus that runs.
type Server struct {
	url      string
	dir      string
	monitors []*Monitor
	kube     kubernetes.Interface

	process *exec.Cmd
	output  bytes.Buffer
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// Start runs the program with what the monitors select, and keeps its files in dir.
func Start(ctx context.Context, program, dir string, kube kubernetes.Interface, monitors []*Monitor) (*Server, error) {
	ctx, stop := context.WithCancel(ctx)
	s := &Server{dir: dir, monitors: monitors, kube: kube, stop: stop}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		stop()
		return nil, err
	}
	address := listener.Addr().String()
	listener.Close()
	s.url = "http://" + address
	if err := s.configure(ctx); err != nil {
		stop()
		return nil, err
	}
	s.process = exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), //nolint:noctx // Stop ends it
		"--web.listen-address="+address, "--log.level=warn")
	s.process.Stdout, s.process.Stderr = &s.output, &s.output
	if err := s.process.Start(); err != nil {
		stop()
		return nil, err
	}
	s.done.Go(func() { s.discover(ctx) })
	deadline := time.Now().Add(patience)
	for {
		if s.answers(ctx) {
			return s, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			s.Stop()
			return nil, fmt.Errorf("Prometheus does not start: %s", s.output.String()) //nolint:staticcheck // its name
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Stop ends it.
func (s *Server) Stop() {
	s.stop()
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.done.Wait()
}

func (s *Server) answers(ctx context.Context) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/-/ready", http.NoBody)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// configure writes what to scrape and how.
func (s *Server) configure(ctx context.Context) error {
	type object = map[string]any
	var jobs []object
	for i, m := range s.monitors {
		var relabelings []object
		for _, r := range m.endpoint().Relabelings {
			o := object{"source_labels": r.SourceLabels, "target_label": r.TargetLabel}
			if r.Regex != "" {
				o["regex"] = r.Regex
			}
			if r.Replacement != "" {
				o["replacement"] = r.Replacement
			}
			relabelings = append(relabelings, o)
		}
		jobs = append(jobs, object{"job_name": m.job(), "relabel_configs": relabelings,
			"file_sd_configs": []object{{"files": []string{s.targetsFile(i)}, "refresh_interval": discovery.String()}}})
	}
	text, err := yaml.Marshal(object{"global": object{"scrape_interval": Interval.String(), "scrape_timeout": Interval.String()}, "scrape_configs": jobs})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.dir, "prometheus.yaml"), text, 0o600); err != nil {
		return err
	}
	return s.find(ctx)
}

func (s *Server) targetsFile(monitor int) string {
	return filepath.Join(s.dir, fmt.Sprintf("targets-%d.json", monitor))
}

// discover keeps the files of targets up to date.
func (s *Server) discover(ctx context.Context) {
	ticker := time.NewTicker(discovery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = s.find(ctx) // the targets of before stay
		}
	}
}

func (s *Server) find(ctx context.Context) error {
	for i, m := range s.monitors {
		targets, err := m.Targets(ctx, s.kube)
		if err != nil {
			return err
		}
		if targets == nil {
			targets = []Target{}
		}
		text, err := json.Marshal(targets)
		if err != nil {
			return err
		}
		partial := s.targetsFile(i) + ".new"
		if err := os.WriteFile(partial, text, 0o600); err != nil {
			return err
		}
		if err := os.Rename(partial, s.targetsFile(i)); err != nil {
			return err
		}
	}
	return nil
}

// Point of a line.
type Point struct {
	Time  time.Time
	Value float64
}

// Line that a query draws.
type Line struct {
	Labels map[string]string
	Points []Point
}

// Range asks what a query was over a time.
func (s *Server) Range(ctx context.Context, query string, from, to time.Time, step time.Duration) ([]Line, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	second := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
	form := url.Values{"query": {query}, "start": {second(from)}, "end": {second(to)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', 3, 64)}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/api/v1/query_range", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Error string `json:"error"`
		Data  struct {
			Result []struct {
				Metric map[string]string `json:"metric"`
				Values [][2]any          `json:"values"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", query, answer.Error)
	}
	var lines []Line
	for _, series := range answer.Data.Result {
		line := Line{Labels: series.Metric}
		for _, v := range series.Values {
			at, _ := v[0].(float64)
			text, _ := v[1].(string)
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", query, err)
			}
			if !math.IsNaN(value) && !math.IsInf(value, 0) {
				line.Points = append(line.Points, Point{time.UnixMilli(int64(at * 1000)), value})
			}
		}
		if len(line.Points) > 0 {
			lines = append(lines, line)
		}
	}
	return lines, nil
}
