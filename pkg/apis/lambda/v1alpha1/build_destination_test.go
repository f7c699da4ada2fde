package v1alpha1

import (
	"errors"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/sets"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

func clusterBuild(repositories string) *config.Build {
	return &config.Build{
		Registry: "registry.lambda.svc.cluster.local:5000", InsecureRegistries: sets.New("registry.lambda.svc.cluster.local:5000", "Plain.test:5000", "10.241.0.1:5000", "10.241.0.2"),
		RegistryAliases:    config.Aliases{"localhost:5009": "mirror.test"},
		RepositoryTemplate: template.Must(template.New("").Parse(repositories)),
	}
}

// TestDestination: where an image goes, by what the function and the cluster say.
func TestDestination(t *testing.T) {
	const cluster = "registry.lambda.svc.cluster.local:5000"
	for name, tt := range map[string]struct {
		build string
		want  Destination
	}{
		"nothing is said":                         {"{}", Destination{cluster, "team/python", ""}},
		"a path":                                  {"{registry: ghcr.io/owner, registryType: ghcr}", Destination{"ghcr.io", "owner/team/python", ""}},
		"a path and a repository":                 {"{registry: ghcr.io/owner/, repository: hello}", Destination{"ghcr.io", "owner/hello", ""}},
		"capitals and the port of HTTPS":          {"{registry: 'GHCR.io:443'}", Destination{"ghcr.io", "team/python", ""}},
		"an address of IPv6":                      {"{registry: '[FD00::1]:5000/x'}", Destination{"[fd00::1]:5000", "x/team/python", ""}},
		"a local registry that is not known":      {"{registry: 'localhost:5001', insecure: true}", Destination{cluster, "team/python", "localhost:5001"}},
		"a container's name":                      {"{registry: 'kind-registry:5000/x'}", Destination{cluster, "team/python", "kind-registry:5000/x"}},
		"the type local":                          {"{registry: registry.lan, registryType: local}", Destination{cluster, "team/python", "registry.lan"}},
		"a loopback address":                      {"{registry: '127.0.0.1:5000'}", Destination{cluster, "team/python", "127.0.0.1:5000"}},
		"a loopback address of IPv6":              {"{registry: '[::1]:5000'}", Destination{cluster, "team/python", "[::1]:5000"}},
		"the type local without a registry":       {"{registryType: local, insecure: true}", Destination{cluster, "team/python", ""}},
		"a loopback address in one part":          {"{registry: '0x7f000001:5000'}", Destination{cluster, "team/python", "0x7f000001:5000"}},
		"an alias":                                {"{registry: 'LOCALHOST:5009', insecure: true}", Destination{"mirror.test", "team/python", ""}},
		"what the configuration says holds":       {"{registry: 'plain.test:5000', insecure: false}", Destination{"Plain.test:5000", "team/python", ""}},
		"the Service of the registry by its name": {"{registry: 'registry.lambda:5000'}", Destination{cluster, "team/python", ""}},
	} {
		f := functionOf(t, python+"build: "+tt.build)
		got, err := f.Spec.Build.Destination(clusterBuild("{{.Namespace}}/{{.Language}}"), config.RepositoryData{Namespace: "team", Name: "greeter", Language: "python"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want, +got): %s", name, diff)
		}
	}
}

// TestRepositoryOfOthers: in a registry that the cluster's configuration names, however
// it is spelled, a function without push credentials of its own has the repositories of
// its namespace.
func TestRepositoryOfOthers(t *testing.T) {
	const standard = "{{.Namespace}}/{{.Language}}"
	for name, tt := range map[string]struct {
		template, build, own string // own is empty if the repository is allowed
	}{
		"another namespace's":                 {standard, "{repository: other/python}", "team"},
		"one that begins like the namespace":  {standard, "{repository: team-b/python}", "team"},
		"the registry by its name":            {standard, "{registry: 'registry.lambda.svc:5000', repository: other/python}", "team"},
		"the registry by another spelling":    {standard, "{registry: 'REGISTRY.lambda.svc.cluster.local.:5000', repository: other/python}", "team"},
		"an address with zeros in its port":   {standard, "{registry: '10.241.0.1:05000', repository: other/python}", "team"},
		"an address in hexadecimal":           {standard, "{registry: '0x0A.0xF1.0.1:5000', repository: other/python}", "team"},
		"an address in octal":                 {standard, "{registry: '012.0361.0.1:5000', repository: other/python}", "team"},
		"an address in three parts":           {standard, "{registry: '10.241.1:5000', repository: other/python}", "team"},
		"an address in one part":              {standard, "{registry: '183566337:5000', repository: other/python}", "team"},
		"an address in IPv6":                  {standard, "{registry: '[::ffff:10.241.0.1]:5000', repository: other/python}", "team"},
		"an address in the digits of IPv6":    {standard, "{registry: '[0:0:0:0:0:FFFF:0AF1:0001]:5000', repository: other/python}", "team"},
		"an address with the port of HTTP":    {standard, "{registry: '10.241.0.2:080', repository: other/python}", "team"},
		"a registry with zeros in its port":   {standard, "{registry: 'registry.lambda:05000', repository: other/python}", "team"},
		"another port of the address":         {standard, "{registry: '10.241.0.1:5001', repository: other/python}", ""},
		"a registry of plain HTTP":            {standard, "{registry: 'plain.test:5000', repository: other/python}", "team"},
		"the target of an alias":              {standard, "{registry: mirror.test, repository: other/python}", "team"},
		"an alias":                            {standard, "{registry: 'localhost:5009', repository: other/python}", "team"},
		"in place of a local one":             {standard, "{registry: 'localhost:5001', repository: other/python}", "team"},
		"one of its own":                      {standard, "{repository: team/some/where}", ""},
		"with credentials of its own":         {standard, "{repository: other/python, pushSecretRef: {name: push}}", ""},
		"another registry":                    {standard, "{registry: ghcr.io, repository: other/python}", ""},
		"below a folder":                      {"functions/{{.Namespace}}/{{.Language}}", "{repository: functions/other/python}", "functions/team"},
		"a folder's":                          {"functions/{{.Namespace}}/{{.Language}}", "{repository: functions/team/x}", ""},
		"of a template that mixes":            {"fn-{{.Namespace}}-{{.Language}}", "{repository: fn-team-b-python}", "fn-team-python"},
		"of a template by language first":     {"{{.Language}}/{{.Namespace}}", "{repository: python/other}", "python/team"},
		"of a template without the namespace": {"functions/{{.Language}}", "{repository: functions}", "functions/python"},
		"what a template without it makes":    {"functions/{{.Language}}", "{}", ""},
		"of a template with the name":         {"{{.Namespace}}/{{.Name}}", "{repository: other/greeter}", "team"},
	} {
		f := functionOf(t, python+"build: "+tt.build)
		_, err := f.Spec.Build.Destination(clusterBuild(tt.template), config.RepositoryData{Namespace: "team", Name: "greeter", Language: "python"})
		var notAllowed *RepositoryNotAllowedError
		own := ""
		if errors.As(err, &notAllowed) {
			own = notAllowed.Own
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if own != tt.own {
			t.Errorf("%s: refused for repositories below %q (%v), want %q", name, own, err, tt.own)
		}
	}
}

// TestBuildWarnings: what is admitted and has no effect is named.
func TestBuildWarnings(t *testing.T) {
	const replaced = `registry "localhost:5001" is not in the cluster's configuration: the image goes to r.test:5000 instead; name that registry, or ask the cluster's administrator for an alias in config-build, registry-aliases: spec.build.registry`
	for build, want := range map[string]string{
		"{}":               "",
		"{insecure: true}": "",
		"{registry: 'localhost:5001', insecure: true}":      replaced,
		"{registry: 'localhost:5001', registryType: local}": replaced,
		"{insecure: false}":                             "has no effect: config-build, insecure-registries says true of registry r.test:5000; leave it out: spec.build.insecure",
		"{registry: ghcr.io/owner, registryType: ghcr}": "has no effect: the name of the registry is all that counts; leave it out: spec.build.registryType",
		"{cache: true}":                                 "has no effect without build.pushSecretRef: in a registry that takes anonymous pushes, others can change what is cached: spec.build.cache",
		"{cache: true, pushSecretRef: {name: push}}":    "",
	} {
		f := defaulted(configured(), functionOf(t, python+"build: "+build))
		errs := f.Validate(configured())
		if refusal := errs.Filter(apis.ErrorLevel); refusal != nil {
			t.Errorf("%s is refused: %v", build, refusal)
		}
		if got := errs.Filter(apis.WarningLevel).Error(); got != want {
			t.Errorf("%s: warning\n%s\nwant\n%s", build, got, want)
		}
	}
}
