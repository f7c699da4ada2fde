// Command dashboards writes the dashboards of hack/monitoring as ConfigMaps into a
// folder.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/brunovlucena/knative-lambda-operator/hack/monitoring"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: dashboards <folder>")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(dir string) error {
	for i := range monitoring.Dashboards {
		d := &monitoring.Dashboards[i]
		manifest, err := d.ConfigMap()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "dashboard-"+d.Name+".yaml"), manifest, 0o644); err != nil {
			return err
		}
	}
	return nil
}
