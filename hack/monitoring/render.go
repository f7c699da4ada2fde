package monitoring

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Panels are two in a row.
const (
	width, height = 12, 8
	perRow        = 2
)

type object = map[string]any

// JSON of the dashboard, as Grafana imports it.
func (d *Dashboard) JSON() ([]byte, error) {
	source := object{"type": "prometheus", "uid": "$datasource"}
	variables := []object{{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}}
	if d.Namespaced {
		variables = append(variables, object{
			"name": "namespace", "label": "Namespace", "type": "query", "datasource": source, "refresh": 2, "sort": 1,
			"query": "label_values(lambda_objects, k8s_namespace_name)", "includeAll": true, "multi": true, "allValue": ".*", "current": object{"text": "All", "value": "$__all"},
		})
	}
	panels := make([]object, len(d.Panels))
	for i, p := range d.Panels {
		targets := make([]object, len(p.Queries))
		for j, q := range p.Queries {
			targets[j] = object{"refId": string(rune('A' + j)), "expr": q.Expr, "legendFormat": q.Legend, "datasource": source}
		}
		panels[i] = object{
			"id": i + 1, "type": "timeseries", "title": p.Title, "description": p.About, "datasource": source, "targets": targets,
			"gridPos":     object{"x": i % perRow * width, "y": i / perRow * height, "w": width, "h": height},
			"fieldConfig": object{"defaults": object{"unit": p.Unit, "min": 0}, "overrides": []object{}},
		}
	}
	return json.MarshalIndent(object{
		"uid": "knative-lambda-" + d.Name, "title": d.Title, "tags": []string{"knative-lambda"}, "schemaVersion": 39, "editable": true,
		"time": object{"from": "now-1h", "to": "now"}, "refresh": "30s", "templating": object{"list": variables}, "panels": panels,
	}, "", " ")
}

// ConfigMap with the dashboard, as Grafana's sidecar finds it.
func (d *Dashboard) ConfigMap() ([]byte, error) {
	text, err := d.JSON()
	if err != nil {
		return nil, err
	}
	manifest, err := yaml.Marshal(&corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: "knative-lambda-dashboard-" + d.Name, Namespace: "knative-lambda", Labels: map[string]string{
			"app.kubernetes.io/name": "knative-lambda", "app.kubernetes.io/component": "monitoring", "app.kubernetes.io/version": "devel", "grafana_dashboard": "1",
		}},
		Data: map[string]string{"knative-lambda-" + d.Name + ".json": string(text) + "\n"},
	})
	return append([]byte("# Generated from hack/monitoring by hack/update-codegen.sh.\n"), manifest...), err
}
