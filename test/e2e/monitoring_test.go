//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/hack/monitoring"
	"github.com/brunovlucena/knative-lambda-operator/test/prometheus"
)

const (
	// monitoringLimit of the whole test.
	monitoringLimit = 8 * time.Minute
	// monitoringStep between two points of a line.
	monitoringStep = 5 * time.Second
	// picturesVariable asks for docs/images to be drawn anew.
	picturesVariable = "UPDATE_PICTURES"
)

// TestMonitoring: a Prometheus that scrapes what the monitors select, while there is
// load of all sorts, has data for every query of every dashboard.
func TestMonitoring(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), monitoringLimit) // not in parallel: the sink of errors is the cluster's
	defer cancel()
	needsRabbitMQ(t)
	server := startPrometheus(ctx, t)
	began := time.Now()
	namespace := clients.Namespace(ctx, t)
	startMonitoringLoad(ctx, t, namespace)

	missing := map[string]string{}
	for {
		for i := range monitoring.Dashboards {
			d := &monitoring.Dashboards[i]
			for _, p := range d.Panels {
				for _, q := range p.Queries {
					what := fmt.Sprintf("%s: %s: %s", d.Name, p.Title, q.Expr)
					lines, err := server.Range(ctx, q.In(namespace, prometheus.RateInterval), began, time.Now(), monitoringStep)
					switch {
					case err != nil:
						t.Fatal(err)
					case len(lines) > 0:
						delete(missing, what)
					default:
						missing[what] = what
					}
				}
			}
		}
		if len(missing) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			for what := range missing {
				t.Errorf("no data for %s", what)
			}
			return
		case <-time.After(monitoringStep):
		}
	}
	t.Logf("every query had data after %v", time.Since(began).Round(time.Second))
	if os.Getenv(picturesVariable) != "" {
		time.Sleep(max(0, 4*time.Minute-time.Since(began))) // lines that say something
		drawDashboards(ctx, t, server, namespace, began)
	}
}

// startPrometheus scrapes what the monitors select from where the test runs.
func startPrometheus(ctx context.Context, t *testing.T) *prometheus.Server {
	t.Helper()
	if out, err := exec.CommandContext(ctx, "../../hack/prometheus.sh").CombinedOutput(); err != nil {
		t.Fatalf("hack/prometheus.sh: %v\n%s", err, out)
	}
	monitors, err := prometheus.Monitors("../../config/monitoring")
	if err != nil {
		t.Fatal(err)
	}
	reachPods(ctx, t, monitors)
	server, err := prometheus.Start(ctx, "../../bin/prometheus", t.TempDir(), clients.Kube, monitors)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

// reachPods skips the test where it does not run in the network of the pods.
func reachPods(ctx context.Context, t *testing.T, monitors []*prometheus.Monitor) {
	t.Helper()
	for _, m := range monitors {
		targets, err := m.Targets(ctx, clients.Kube)
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range targets {
			if target.Labels["job"] != "knative-lambda-controller" {
				continue
			}
			conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", target.Targets[0])
			if err != nil {
				t.Skipf("pods are not reached from here: %v", err)
			}
			conn.Close()
			return
		}
	}
	t.Fatal("the monitors select no controller")
}

// drawDashboards writes pictures for docs/monitoring.md.
func drawDashboards(ctx context.Context, t *testing.T, server *prometheus.Server, namespace string, began time.Time) {
	t.Helper()
	if err := os.MkdirAll("../../docs/images", 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range monitoring.Dashboards {
		d := &monitoring.Dashboards[i]
		panels := make([][]monitoring.Line, len(d.Panels))
		for j, p := range d.Panels {
			for _, q := range p.Queries {
				lines, err := server.Range(ctx, q.In(namespace, prometheus.RateInterval), began, time.Now(), monitoringStep)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range lines {
					line := monitoring.Line{Legend: strings.ReplaceAll(q.Name(l.Labels), namespace, "team")}
					for _, point := range l.Points {
						line.Points = append(line.Points, monitoring.Point(point))
					}
					panels[j] = append(panels[j], line)
				}
			}
			monitoring.Sort(panels[j])
		}
		f, err := os.Create(filepath.Join("../../docs/images", "dashboard-"+d.Name+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Draw(f, panels); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
