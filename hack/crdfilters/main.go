// Command crdfilters writes the bounds of filters into CRDs, in place. Filters hold
// filters, which a structural schema cannot say and controller-gen cannot write: the
// bounds of the outer levels are written out, and validation checks all of them.
package main

import (
	"fmt"
	"log"
	"os"
	"regexp"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/internal/cesql"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// levels of filters whose bounds the schema has.
const levels = 2

// open is a filter as controller-gen writes it.
var open = regexp.MustCompile(`(?m)^( +)filters:\n(?: +description: \|-\n(?: {2,}.*\n)+?| +description: .*\n)? +items:\n( +)type: object\n +x-kubernetes-preserve-unknown-fields: true\n`)

func main() {
	log.SetFlags(0)
	for _, name := range os.Args[1:] {
		text, err := os.ReadFile(name)
		if err != nil {
			log.Fatal(err)
		}
		if text, err = bound(text); err != nil {
			log.Fatalf("%s: %v", name, err)
		}
		if err := os.WriteFile(name, text, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// bound returns the CRD with the bounds. It is an error if there are no filters in it.
func bound(crd []byte) ([]byte, error) {
	if !open.Match(crd) {
		return nil, fmt.Errorf("expected filters without properties")
	}
	return open.ReplaceAllFunc(crd, func(match []byte) []byte {
		indent := string(open.FindSubmatch(match)[2])
		head, _, _ := strings.Cut(string(match), indent+"type: object\n")
		return []byte(head + filter(indent, levels))
	}), nil
}

// filter is the schema of one, of the lines that follow items or a field's name.
func filter(indent string, levels int) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, indent+format+"\n", args...) }
	line("properties:")
	list := func(name string) {
		line("  %s:", name)
		if levels > 1 {
			line("    items:")
			b.WriteString(filter(indent+"      ", levels-1))
		} else {
			line("    items:")
			line("      type: object")
			line("      x-kubernetes-preserve-unknown-fields: true")
		}
		line("    maxItems: %d", v1alpha1.MaxFilterList)
		line("    type: array")
	}
	list("all")
	list("any")
	line("  cesql:")
	line("    maxLength: %d", cesql.MaxLength)
	line("    type: string")
	if levels > 1 {
		line("  not:")
		b.WriteString(filter(indent+"    ", levels-1))
	}
	line("type: object")
	line("x-kubernetes-preserve-unknown-fields: true")
	return b.String()
}
