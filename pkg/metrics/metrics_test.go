package metrics

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	promclient "github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// TestTable: names and labels follow the conventions, and each has a bound.
func TestTable(t *testing.T) {
	name := regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)*$`)
	seen := map[string]bool{}
	for _, i := range All() {
		if !name.MatchString(i.Name) || seen[i.Name] || i.Unit == "" || !strings.HasSuffix(i.Description, ".") && !strings.Contains(i.Description, ";") {
			t.Errorf("%+v: its name is no name or another's, it has no unit, or its description is no sentence", i)
		}
		seen[i.Name] = true
		if (i.Kind == Histogram) != (len(i.Bounds) > 0) {
			t.Errorf("%s is a %s with bounds %v", i.Name, i.Kind, i.Bounds)
		}
		labels := map[string]bool{}
		for _, l := range i.Labels {
			if !name.MatchString(l.Name) || labels[l.Name] || l.Meaning == "" || (l.Values == nil) == (l.Most == 0) {
				t.Errorf("%s: label %+v has no name, no meaning or no bound, or is there twice", i.Name, l)
			}
			labels[l.Name] = true
		}
	}
}

// TestObservedByMany: whoever tells an instrument's numbers is asked.
func TestObservedByMany(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test")
	for i, kind := range []string{"LambdaFunction", "LambdaAgent"} {
		if err := Objects.ObserveInt64Gauge(meter, func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(i+1), Set(KindLabel.Of(kind)))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			for _, p := range m.Data.(metricdata.Gauge[int64]).DataPoints {
				got[p.Attributes.Encoded(attribute.DefaultEncoder())] = p.Value
			}
		}
	}
	if want := map[string]int64{"kind=LambdaFunction": 1, "kind=LambdaAgent": 2}; !maps.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

func TestValuesAreBounded(t *testing.T) {
	if got := KindLabel.Of("LambdaAgent").Value.AsString(); got != "LambdaAgent" {
		t.Errorf("a known value is told as %q", got)
	}
	if got := KindLabel.Of("Pod").Value.AsString(); got != Other {
		t.Errorf("an unknown value is told as %q", got)
	}
	if got := LanguageLabel.Of("python").Value.AsString(); got != Other {
		t.Errorf("%q, told without counting how many there were", got)
	}
	open := LanguageLabel.Open()
	if got := open.Bound(strings.Repeat("x", maxLength+1)); got != Other {
		t.Errorf("a long value is told as %q", got)
	}
	for i := range LanguageLabel.Most {
		if got := open.Of(strconv.Itoa(i)).Value.AsString(); got != strconv.Itoa(i) {
			t.Errorf("value %d is told as %q", i, got)
		}
	}
	if got := open.Bound("one more"); got != Other {
		t.Errorf("one too many is told as %q", got)
	}
	if got := open.Bound("0"); got != "0" {
		t.Errorf("a value of before is told as %q", got)
	}
}

// record makes the instrument and measures once.
func record(ctx context.Context, i *Instrument, m metric.Meter) (err error) {
	switch {
	case i.Kind == Gauge:
		return i.ObserveInt64Gauge(m, ObserveNumber(func() int64 { return 1 }))
	case i == Invocations:
		return i.ObserveInt64Counter(m, ObserveNumber(func() int64 { return 1 }))
	case i.Kind == Counter:
		var c metric.Int64Counter
		if c, err = i.Int64Counter(m); err == nil {
			c.Add(ctx, 1)
		}
	case i == Tokens:
		var h metric.Int64Histogram
		if h, err = i.Int64Histogram(m); err == nil {
			h.Record(ctx, 1)
		}
	default:
		var h metric.Float64Histogram
		if h, err = i.Float64Histogram(m); err == nil {
			h.Record(ctx, 1)
		}
	}
	return err
}

// TestPrometheusNames: by the exporter that all components have.
func TestPrometheusNames(t *testing.T) {
	registry := promclient.NewRegistry()
	exporter, err := prometheus.New(prometheus.WithRegisterer(registry), prometheus.WithoutTargetInfo(), prometheus.WithoutScopeInfo())
	if err != nil {
		t.Fatal(err)
	}
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)).Meter("test")
	for _, i := range All() {
		if err := record(t.Context(), i, meter); err != nil {
			t.Error(err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]string{}
	for _, f := range families {
		there[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	for _, i := range All() {
		if there[i.Prometheus()] != string(i.Kind) {
			t.Errorf("%s is not there as the %s %s: %v", i.Name, i.Kind, i.Prometheus(), there)
		}
	}
	if len(there) != len(All()) {
		t.Errorf("%d metrics of %d instruments", len(there), len(All()))
	}
}

func TestKindIsChecked(t *testing.T) {
	meter := sdkmetric.NewMeterProvider().Meter("test")
	if _, err := ReconcileDuration.Int64Counter(meter); err == nil {
		t.Error("a histogram was made as a counter")
	}
	if err := Invocations.ObserveInt64Gauge(meter, nil); err == nil {
		t.Error("a counter was made as a gauge")
	}
	if _, err := Objects.Float64Histogram(meter); err == nil {
		t.Error("a gauge was made as a histogram")
	}
}

const root = "../.."

// TestTableIsWhole: nobody makes an instrument that is not in the table, and there is
// none in it that nobody makes.
func TestTableIsWhole(t *testing.T) {
	own := regexp.MustCompile(`^(Int64|Float64)(Observable)?(Counter|UpDownCounter|Histogram|Gauge)$`)
	makers := regexp.MustCompile(`^(Int64Counter|Observe(Int64Counter|Int64Gauge)|Int64Histogram|Float64Histogram)$`)
	made := map[string]bool{}
	files := 0
	for _, top := range []string{"cmd", "internal", "pkg"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "../../pkg/metrics/") {
				return err
			}
			files++
			set := token.NewFileSet()
			parsed, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				selector, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || !own.MatchString(selector.Sel.Name) && !makers.MatchString(selector.Sel.Name) {
					return true
				}
				if of, ok := selector.X.(*ast.SelectorExpr); ok && makers.MatchString(selector.Sel.Name) {
					if p, ok := of.X.(*ast.Ident); ok && p.Name == "metrics" {
						made[of.Sel.Name] = true
						return true
					}
				}
				t.Errorf("%s makes an instrument that is not in the table", set.Position(call.Pos()))
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	declared := declarations(t)
	if files < 100 || len(declared) != len(All()) {
		t.Fatalf("%d files were read, and %d declarations for %d instruments", files, len(declared), len(All()))
	}
	for _, name := range declared {
		if !made[name] {
			t.Errorf("nobody makes metrics.%s", name)
		}
	}
}

// declarations are the names of the table's instruments in Go.
func declarations(t *testing.T) (names []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), "table.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
			if call, ok := v.Values[0].(*ast.CallExpr); ok {
				if f, ok := call.Fun.(*ast.Ident); ok && f.Name == "declare" {
					names = append(names, v.Names[0].Name)
				}
			}
		}
		return true
	})
	return names
}
