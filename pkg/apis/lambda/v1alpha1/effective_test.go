package v1alpha1

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

func TestFunctionEffectiveSpec(t *testing.T) {
	builtIn := context.Background()
	for _, tt := range []struct {
		name       string
		ctx        context.Context
		spec, want string
	}{{
		"without the cluster's configuration", builtIn,
		`{source: {inline: {code: x}}, runtime: {language: python}}`,
		`{source: {type: inline, inline: {code: x}}, runtime: {language: python, timeout: 4m55s}, build: {strategy: auto}, scaling: {minReplicas: 0}}`,
	}, {
		"with it", configured(),
		`{source: {inline: {code: x}}, runtime: {language: python}}`,
		`{source: {type: inline, inline: {code: x}}, runtime: {language: python, version: "3.13", handler: main.handler, timeout: 1m0s, isolation: shared, interface: auto, httpEvent: decoded}, build: {strategy: auto},
		scaling: {minReplicas: 0, maxReplicas: 20, concurrency: 100}, resources: {requests: {memory: 64Mi}}}`,
	}, {
		"what is said stays", configured(),
		`{source: {type: inline, inline: {code: x}}, runtime: {language: python, version: "3.9", handler: app.run, timeout: 2s}, build: {strategy: kaniko},
		scaling: {minReplicas: 1, maxReplicas: 0}, resources: {limits: {cpu: "1"}}}`,
		`{source: {type: inline, inline: {code: x}}, runtime: {language: python, version: "3.9", handler: app.run, timeout: 2s, isolation: shared, interface: auto, httpEvent: decoded}, build: {strategy: kaniko},
		scaling: {minReplicas: 1, maxReplicas: 0, concurrency: 100}, resources: {limits: {cpu: "1"}}}`,
	}, {
		"more replicas at least than the default allows", configured(),
		`{source: {inline: {code: x}}, runtime: {language: python}, scaling: {minReplicas: 30}}`,
		`{source: {type: inline, inline: {code: x}}, runtime: {language: python, version: "3.13", handler: main.handler, timeout: 1m0s, isolation: shared, interface: auto, httpEvent: decoded}, build: {strategy: auto},
		scaling: {minReplicas: 30, maxReplicas: 30, concurrency: 100}, resources: {requests: {memory: 64Mi}}}`,
	}, {
		"a language that there is not, for validation to tell", configured(),
		`{source: {inline: {code: x}}, runtime: {language: cobol}, scaling: {maxReplicas: 1}, resources: {requests: {cpu: "1"}}}`,
		`{source: {type: inline, inline: {code: x}}, runtime: {language: cobol, timeout: 1m0s}, build: {strategy: auto}, scaling: {minReplicas: 0, maxReplicas: 1}, resources: {requests: {cpu: "1"}}}`,
	}, {
		"an image: nothing is built, no language runs", configured(),
		`{source: {image: {repository: r.test/own}}}`,
		`{source: {type: image, image: {repository: r.test/own, tag: latest, port: 8080}}, runtime: {timeout: 1m0s}, scaling: {minReplicas: 0, maxReplicas: 20}, resources: {requests: {memory: 64Mi}}}`,
	}, {
		"an image by its digest", builtIn,
		`{source: {image: {repository: r.test/own, digest: "sha256:1", port: 9000}}}`,
		`{source: {type: image, image: {repository: r.test/own, digest: "sha256:1", port: 9000}}, runtime: {timeout: 4m55s}, scaling: {minReplicas: 0}}`,
	}, {
		"two sources, for validation to tell", builtIn,
		`{source: {inline: {code: x}, git: {url: u}}, runtime: {timeout: 1s}, build: {strategy: kaniko}, scaling: {minReplicas: 0}}`,
		`{source: {inline: {code: x}, git: {url: u}}, runtime: {timeout: 1s}, build: {strategy: kaniko}, scaling: {minReplicas: 0}}`,
	}, {
		"credentials by a plain name", builtIn,
		`{source: {s3: {bucket: b, key: k, credentialsSecret: keys}}, runtime: {language: python, timeout: 1s}, build: {strategy: kaniko}, scaling: {minReplicas: 0}}`,
		`{source: {type: s3, s3: {bucket: b, key: k, secretRef: {name: keys}}}, runtime: {language: python, timeout: 1s}, build: {strategy: kaniko}, scaling: {minReplicas: 0}}`,
	}} {
		t.Run(tt.name, func(t *testing.T) {
			want := functionOf(t, tt.want)
			if want.Spec.SecurityContext == nil {
				want.Spec.SecurityContext = Restricted(nil)
			}
			want.Spec.Visibility = VisibilityExternal
			given := functionOf(t, tt.spec)
			got := given.DeepCopy()
			got.Spec = given.EffectiveSpec(config.FromContextOrDefaults(tt.ctx))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error("(-want, +got):", diff)
			}
			if diff := cmp.Diff(want.Spec, got.EffectiveSpec(config.FromContextOrDefaults(tt.ctx))); diff != "" {
				t.Error("the effective spec has another effective spec (-want, +got):", diff)
			}
			if diff := cmp.Diff(functionOf(t, tt.spec), given); diff != "" {
				t.Error("the object itself was changed (-was, +is):", diff)
			}
		})
	}
}

func TestAgentEffectiveSpec(t *testing.T) {
	builtIn := context.Background()
	for _, tt := range []struct {
		name       string
		ctx        context.Context
		spec, want string
	}{{
		"without the cluster's configuration", builtIn,
		`{image: {repository: r.test/bruno}}`,
		`{image: {repository: r.test/bruno, tag: latest, port: 8080}, ai: {provider: none}, operationMode: agentic, scaling: {minReplicas: 1}}`,
	}, {
		"with it", configured(),
		`{image: {repository: r.test/bruno, tag: "1"}, ai: {provider: ollama}}`,
		`{image: {repository: r.test/bruno, tag: "1", port: 8080}, ai: {provider: ollama}, operationMode: agentic, scaling: {minReplicas: 2, maxReplicas: 10}, resources: {requests: {memory: 128Mi}}}`,
	}, {
		"what is said stays", configured(),
		`{image: {repository: r.test/bruno, digest: "sha256:1", port: 1}, ai: {provider: none}, operationMode: supervised, scaling: {minReplicas: 0, maxReplicas: 0}, resources: {limits: {cpu: "1"}},
		eventing: {enabled: true, eventSource: /mine}}`,
		`{image: {repository: r.test/bruno, digest: "sha256:1", port: 1}, ai: {provider: none}, operationMode: supervised, scaling: {minReplicas: 0, maxReplicas: 0}, resources: {limits: {cpu: "1"}},
		eventing: {enabled: true, eventSource: /mine}}`,
	}, {
		"fewer replicas at most than the default keeps warm", configured(),
		`{image: {repository: r.test/bruno}, scaling: {maxReplicas: 1}}`,
		`{image: {repository: r.test/bruno, tag: latest, port: 8080}, ai: {provider: none}, operationMode: agentic, scaling: {minReplicas: 1, maxReplicas: 1}, resources: {requests: {memory: 128Mi}}}`,
	}, {
		"more replicas at least than the default allows", configured(),
		`{image: {repository: r.test/bruno}, scaling: {minReplicas: 11}}`,
		`{image: {repository: r.test/bruno, tag: latest, port: 8080}, ai: {provider: none}, operationMode: agentic, scaling: {minReplicas: 11, maxReplicas: 11}, resources: {requests: {memory: 128Mi}}}`,
	}, {
		"no bound: the default keeps warm", configured(),
		`{image: {repository: r.test/bruno}, scaling: {maxReplicas: 0}, resources: {requests: {cpu: 1m}}}`,
		`{image: {repository: r.test/bruno, tag: latest, port: 8080}, ai: {provider: none}, operationMode: agentic, scaling: {minReplicas: 2, maxReplicas: 0}, resources: {requests: {cpu: 1m}}}`,
	}, {
		"the source of its events", builtIn,
		`{image: {repository: r.test/bruno}, eventing: {enabled: true}}`,
		`{image: {repository: r.test/bruno, tag: latest, port: 8080}, ai: {provider: none}, operationMode: agentic, scaling: {minReplicas: 1}, eventing: {enabled: true, eventSource: /team/bruno}}`,
	}, {
		"the backends of memory that is on", builtIn,
		`{image: {repository: r.test/bruno}, memory: {enabled: true, shortTerm: {enabled: true}, longTerm: {}}}`,
		`{image: {repository: r.test/bruno, tag: latest, port: 8080}, ai: {provider: none}, operationMode: agentic, scaling: {minReplicas: 1}, memory: {enabled: true, shortTerm: {enabled: true, backend: redis}, longTerm: {}}}`,
	}, {
		"no events", builtIn,
		`{image: {repository: r.test/bruno}, eventing: {enabled: false}}`,
		`{image: {repository: r.test/bruno, tag: latest, port: 8080}, ai: {provider: none}, operationMode: agentic, scaling: {minReplicas: 1}, eventing: {enabled: false}}`,
	}} {
		t.Run(tt.name, func(t *testing.T) {
			want := agentOf(t, tt.want)
			if want.Spec.SecurityContext == nil {
				want.Spec.SecurityContext = Restricted(nil)
			}
			want.Spec.Visibility = VisibilityExternal
			given := agentOf(t, tt.spec)
			got := given.DeepCopy()
			got.Spec = given.EffectiveSpec(config.FromContextOrDefaults(tt.ctx))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error("(-want, +got):", diff)
			}
			if diff := cmp.Diff(want.Spec, got.EffectiveSpec(config.FromContextOrDefaults(tt.ctx))); diff != "" {
				t.Error("the effective spec has another effective spec (-want, +got):", diff)
			}
			if diff := cmp.Diff(agentOf(t, tt.spec), given); diff != "" {
				t.Error("the object itself was changed (-was, +is):", diff)
			}
		})
	}
}

// TestEffectiveSpecSharesNothing: all objects share one configuration.
func TestEffectiveSpecSharesNothing(t *testing.T) {
	cfg := config.FromContext(configured())
	spec := functionOf(t, `{source: {inline: {code: x}}}`).EffectiveSpec(cfg)
	for name := range spec.Resources.Requests {
		delete(spec.Resources.Requests, name)
	}
	*spec.Scaling.MaxReplicas = 1
	if diff := cmp.Diff(memory("64Mi"), functionOf(t, `{source: {inline: {code: x}}}`).EffectiveSpec(cfg).Resources); diff != "" {
		t.Error("a function changed the defaults of the next (-want, +got):", diff)
	}
}

// TestRestricted: what is left out is as Pod Security's profile restricted asks, and
// what is said stays.
func TestRestricted(t *testing.T) {
	const left = `{allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}`
	for given, want := range map[string]string{
		`{}`:                    left + `, runAsNonRoot: true}`,
		`{runAsNonRoot: false}`: left + `, runAsNonRoot: false}`,
		`{runAsUser: 0}`:        left + `, runAsUser: 0, runAsNonRoot: false}`,
		`{runAsUser: 1000}`:     left + `, runAsUser: 1000, runAsNonRoot: true}`,
		`{capabilities: {}}`:    left + `, runAsNonRoot: true}`,
		`{privileged: false, readOnlyRootFilesystem: true}`: left + `, runAsNonRoot: true, privileged: false, readOnlyRootFilesystem: true}`,
		`{allowPrivilegeEscalation: true, capabilities: {drop: [MKNOD]}, seccompProfile: {type: Localhost, localhostProfile: mine}, runAsNonRoot: true}`: `{allowPrivilegeEscalation: true, capabilities: {drop: [MKNOD]}, seccompProfile: {type: Localhost, localhostProfile: mine}, runAsNonRoot: true}`,
	} {
		a, expected := agentOf(t, "securityContext: "+given), agentOf(t, "securityContext: "+want)
		before := a.DeepCopy()
		if diff := cmp.Diff(expected.Spec.SecurityContext, Restricted(a.Spec.SecurityContext)); diff != "" {
			t.Errorf("%s (-want, +got): %s", given, diff)
		}
		if diff := cmp.Diff(before, a); diff != "" {
			t.Errorf("%s was changed (-was, +is): %s", given, diff)
		}
	}
}

// TestVisibility: the field, else Knative's own label on the object, else the cluster's
// default.
func TestVisibility(t *testing.T) {
	for _, tt := range []struct {
		spec, label, cluster string
		want                 Visibility
	}{
		{"", "", "", VisibilityExternal},
		{"", "", "cluster-local", VisibilityClusterLocal},
		{"", "cluster-local", "external", VisibilityClusterLocal},
		{"", "other", "external", VisibilityExternal},
		{"external", "cluster-local", "cluster-local", VisibilityExternal},
		{"cluster-local", "", "external", VisibilityClusterLocal},
	} {
		cfg := *config.FromContext(configured())
		defaults := *cfg.Defaults
		cfg.Defaults, defaults.Visibility = &defaults, tt.cluster
		f, a := functionOf(t, python), agentOf(t, anImage)
		for _, o := range []*metav1.ObjectMeta{&f.ObjectMeta, &a.ObjectMeta} {
			o.Labels = map[string]string{"networking.knative.dev/visibility": tt.label}
		}
		f.Spec.Visibility, a.Spec.Visibility = Visibility(tt.spec), Visibility(tt.spec)
		if got, other := f.EffectiveSpec(&cfg).Visibility, a.EffectiveSpec(&cfg).Visibility; got != tt.want || other != tt.want {
			t.Errorf("%+v: function %s, agent %s", tt, got, other)
		}
	}
}
