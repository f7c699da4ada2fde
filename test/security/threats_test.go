package security

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]+)\(`)
)

// allTests of this repository by name.
func allTests(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, folder := range []string{"cmd", "hack", "internal", "pkg", "runtimes", "test"} {
		err := filepath.WalkDir(root+folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range testFunc.FindAllStringSubmatch(string(text), -1) {
				all[m[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestThreats: docs/security.md, and the documents beside it, name tests that there are;
// each threat but the last has one.
func TestThreats(t *testing.T) {
	all := allTests(t)
	for _, document := range []string{"security.md", "upgrades.md", "backup.md"} {
		text, err := os.ReadFile(root + "docs/" + document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testName.FindAllStringSubmatch(string(text), -1) {
			if !all[m[1]] {
				t.Errorf("docs/%s: there is no test %s", document, m[1])
			}
		}
		if document != "security.md" {
			continue
		}
		_, threats, _ := strings.Cut(string(text), "## Threats")
		threats, _, _ = strings.Cut(threats, "\n## ")
		rows := 0
		for _, line := range strings.Split(threats, "\n") {
			if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| threat") || strings.HasPrefix(line, "| ---") {
				continue
			}
			rows++
			if !testName.MatchString(line) && !strings.Contains(line, "`make ") {
				t.Errorf("nothing shows what is done about a threat: %s", line)
			}
		}
		if rows < 20 {
			t.Errorf("%d threats are listed, want 20 at least", rows)
		}
	}
}

// TestAttacksAreDocumented: docs/security.md names each test of the suite that attacks a
// cluster, beside the promise that it shows.
func TestAttacksAreDocumented(t *testing.T) {
	text, err := os.ReadFile(root + "docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("tenant/*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatal("there is no suite of attacks:", err)
	}
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testFunc.FindAllStringSubmatch(string(code), -1) {
			if m[1] != "TestMain" && !strings.Contains(string(text), "`"+m[1]+"`") {
				t.Errorf("docs/security.md does not name %s of %s", m[1], file)
			}
		}
	}
}
