package monitoring

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestDashboardsAreWritten: what is in config/monitoring is what the table says, and
// Grafana can read it.
func TestDashboardsAreWritten(t *testing.T) {
	for i := range Dashboards {
		d := &Dashboards[i]
		want, err := d.ConfigMap()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("../../config/monitoring", "dashboard-"+d.Name+".yaml"))
		if err != nil || string(got) != string(want) {
			t.Errorf("dashboard %s is out of date, %v: run hack/update-codegen.sh", d.Name, err)
		}
		var cm corev1.ConfigMap
		if err := yaml.Unmarshal(want, &cm); err != nil {
			t.Fatal(err)
		}
		var board struct {
			UID, Title string
			Panels     []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal([]byte(cm.Data["knative-lambda-"+d.Name+".json"]), &board); err != nil {
			t.Fatal(err)
		}
		if cm.Labels["grafana_dashboard"] != "1" || board.Title != d.Title || len(board.Panels) != len(d.Panels) || board.Panels[0].Targets[0].Expr != d.Panels[0].Queries[0].Expr {
			t.Errorf("dashboard %s has labels %v and panels %+v", d.Name, cm.Labels, board.Panels)
		}
		if len(board.UID) > 40 { // Grafana's limit
			t.Errorf("uid %s is too long", board.UID)
		}
	}
}

func TestQuery(t *testing.T) {
	q := Query{`sum by (a) (rate(x_total{namespace=~"$namespace"}[$__rate_interval]))`, "{{a}} of {{b}}"}
	if got := q.In("team", "1m"); got != `sum by (a) (rate(x_total{namespace=~"team"}[1m]))` {
		t.Errorf("In() = %s", got)
	}
	if got := q.Name(map[string]string{"a": "one"}); got != "one of " {
		t.Errorf("Name() = %q", got)
	}
}

func TestScale(t *testing.T) {
	for most, want := range map[float64][]float64{0: {0, .5, 1}, 3: {0, 1, 2, 3}, 7: {0, 2, 4, 6, 8}, 10: {0, 5, 10}, 90: {0, 50, 100}} {
		if got := scale(most); !slices.Equal(got, want) {
			t.Errorf("scale(%v) = %v, want %v", most, got, want)
		}
	}
}

func TestFormat(t *testing.T) {
	for want, tt := range map[string]struct {
		unit  string
		value float64
	}{"12.3 %": {ratio, .1234}, "1.5/s": {perSecond, 1.5}, "25 ms": {seconds, .025}, "2 s": {seconds, 2}, "3 MiB": {bytes, 3 << 20}, "7": {number, 7}} {
		if got := format(tt.unit, tt.value); got != want {
			t.Errorf("format(%s, %v) = %s, want %s", tt.unit, tt.value, got, want)
		}
	}
}

// TestDraw: a picture is XML, and has each line and no more names than have room.
func TestDraw(t *testing.T) {
	d := &Dashboard{Title: "A & B", Panels: []Panel{{Title: "first", Unit: number}, {Title: "empty"}, {Title: "many"}}}
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	line := func(legend string) Line { return Line{legend, []Point{{start, 1}, {start.Add(time.Minute), 3}}} }
	many := []Line{line("a"), line("b"), line("c"), line("d"), line("e"), line("f")}
	var out strings.Builder
	if err := d.Draw(&out, [][]Line{{line("<one>")}, nil, many}); err != nil {
		t.Fatal(err)
	}
	decoder := xml.NewDecoder(strings.NewReader(out.String()))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, out.String())
		}
	}
	for text, times := range map[string]int{"<polyline": 7, "A &amp; B": 1, "&lt;one&gt;: 3": 1, "d: 3 (and 2 more)": 1, "e: 3": 0, "03:05:05": 2} {
		if got := strings.Count(out.String(), text); got != times {
			t.Errorf("%q is there %d times, want %d", text, got, times)
		}
	}
}
