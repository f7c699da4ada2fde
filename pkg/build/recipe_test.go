package build

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const recipe = `# how it is made
FROM r.test/python:3.11
ARG INDEX=https://pypi.test

COPY --from=r.test/runtime /ko-app/runtime /lambda/runtime
COPY --from=r.test/runtime /var/run/ko/python /lambda/worker
COPY function/ /lambda/function/
ENV PYTHONPATH=/lambda/dependencies A=1
WORKDIR /lambda/function
USER 65532:65532
ENTRYPOINT ["/lambda/runtime", "-v"]
`

func TestParseRecipe(t *testing.T) {
	want := &Recipe{
		Base: "r.test/python:3.11",
		Copies: []Copy{
			{"r.test/runtime", "/ko-app/runtime", "/lambda/runtime"}, {"r.test/runtime", "/var/run/ko/python", "/lambda/worker"},
			{"", "function/", "/lambda/function/"},
		},
		Env: []string{"PYTHONPATH=/lambda/dependencies", "A=1"}, WorkDir: "/lambda/function", User: "65532:65532", Entrypoint: []string{"/lambda/runtime", "-v"},
	}
	got, ok := ParseRecipe(recipe)
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Errorf("ParseRecipe() = %t, (-want, +got): %s", ok, diff)
	}
}

// TestNoRecipe: whatever is not understood is left to a real build.
func TestNoRecipe(t *testing.T) {
	for name, dockerfile := range map[string]string{
		"nothing":             "",
		"a step":              recipe + "RUN make\n",
		"a step, small":       recipe + "run make\n",
		"a second stage":      recipe + "FROM other\n",
		"a named stage":       strings.Replace(recipe, "python:3.11", "python:3.11 AS base", 1),
		"no base":             strings.Replace(recipe, "FROM r.test/python:3.11", "FROM scratch", 1),
		"a variable":          strings.Replace(recipe, "A=1", "A=$INDEX", 1),
		"a continued line":    strings.Replace(recipe, "A=1", "\\\n A=1", 1),
		"a quoted value":      strings.Replace(recipe, "A=1", `A="1 2"`, 1),
		"the old form of ENV": strings.Replace(recipe, "A=1", "A 1", 1),
		"a command":           recipe + "CMD [\"x\"]\n",
		"a shell's":           strings.Replace(recipe, `["/lambda/runtime", "-v"]`, "/lambda/runtime -v", 1),
		"no entry point":      strings.Replace(recipe, `ENTRYPOINT ["/lambda/runtime", "-v"]`, "", 1),
		"another owner":       strings.Replace(recipe, "COPY function/", "COPY --chown=1 function/", 1),
		"two images":          strings.Replace(recipe, "--from=r.test/runtime /var", "--from=other /var", 1),
		"no image":            strings.ReplaceAll(recipe, "--from=r.test/runtime ", ""),
		"a part of the files": strings.Replace(recipe, "COPY function/", "COPY function/lib", 1),
		"a relative target":   strings.Replace(recipe, "/lambda/function/\n", "here\n", 1),
		"a relative folder":   strings.Replace(recipe, "WORKDIR /", "WORKDIR ", 1),
		"before the base":     "USER 1\n" + recipe,
		"half an instruction": recipe + "COPY\n",
		"something unknown":   recipe + "HEALTHCHECK NONE\n",
	} {
		if got, ok := ParseRecipe(dockerfile); ok {
			t.Errorf("%s: %+v, want it left to a build", name, got)
		}
	}
}
