package layer

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/registry"
)

func (w *world) image(namespace, reference string) registry.Image {
	return registry.Image{Namespace: namespace, Reference: w.host + "/" + reference, Insecure: true}
}

// digest of what is under a reference, by the registry.
func (w *world) digest(reference string) string {
	w.t.Helper()
	ref, err := name.ParseReference(w.host + "/" + reference)
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := remote.Head(ref)
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Digest.String()
}

// TestTagsOfOthersAreNotRun: an image that another has pushed under the tag of this
// code, or an image that the operator has signed as something else, is not taken; the
// right one is made, signed and found.
func TestTagsOfOthersAreNotRun(t *testing.T) {
	for what, attack := range map[string]func(*world){
		"a tag that is pushed beforehand": func(w *world) { w.push("team/python:new", base(w.t, "amd64")) },
		"an old release under the new tag": func(w *world) {
			old := w.request("team", "old")
			w.makes(newMaker(noSecrets), old)
			w.push("team/python:new", w.get(old.Reference, "amd64"))
		},
		"the image of another namespace, signed for it": func(w *world) {
			w.makes(newMaker(noSecrets), w.request("team", "new", func(r *Request) {
				r.Namespace, r.Files = "other", Inline(map[string]string{"main.py": "evil"})
			}))
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t).single()
			attack(w)
			pushed := w.digest("team/python:new")
			if _, err := newMaker(noSecrets).Find(t.Context(), w.image("team", "team/python:new")); !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("Find() = %v, want that the image is not known", err)
			}
			made := w.makes(newMaker(noSecrets), w.request("team", "new"))
			if made.String() == pushed {
				t.Fatal("the attack pushes the right image")
			}
			if got, err := newMaker(noSecrets).Find(t.Context(), w.image("team", "team/python:new")); err != nil || got != made.String() {
				t.Errorf("Find() = %s, %v, want what was made: %s", got, err, made)
			}
			if err := newMaker(noSecrets).Exists(t.Context(), w.image("team", "team/python@"+pushed)); err != nil {
				t.Errorf("Exists() = %v of an image without a signature for this tag, want nil", err)
			}
		})
	}
}

// TestConfirm: what a build reports counts if the registry has it under the tag. It is
// signed then, and found.
func TestConfirm(t *testing.T) {
	w := newWorld(t).single()
	unreported := "sha256:" + strings.Repeat("a", 64)
	for what, tt := range map[string]struct {
		reference, digest string
		want              build.Outcome
		says              string
	}{
		"what the registry has": {"team/python:1", w.digest("base:1"), build.Outcome{Digest: w.digest("base:1")}, ""},
		"nothing is pushed": {"team/python:2", unreported, build.Outcome{Step: build.StepPush, Reason: build.ReasonImageNotConfirmed, Fault: build.InfrastructureFault},
			"the registry does not have " + w.host + "/team/python:2"},
		"another digest": {"team/python:1", unreported, build.Outcome{Step: build.StepPush, Reason: build.ReasonImageNotConfirmed, Fault: build.InfrastructureFault},
			"something else pushes to that repository"},
	} {
		w.push("team/python:1", base(t, "amd64"))
		m := newMaker(noSecrets)
		got := m.Confirm(t.Context(), w.image("team", tt.reference), tt.digest)
		if !strings.Contains(got.Message, tt.says) {
			t.Errorf("%s: message %q, want it to have %q", what, got.Message, tt.says)
		}
		if got.Message = ""; got != tt.want {
			t.Errorf("%s: Confirm() = %+v, want %+v", what, got, tt.want)
		}
		if !got.Succeeded() {
			continue
		}
		if found, err := m.Find(t.Context(), w.image("team", tt.reference)); err != nil || found != tt.digest {
			t.Errorf("%s: Find() = %q, %v after it is confirmed", what, found, err)
		}
		if _, err := m.Find(t.Context(), w.image("other", tt.reference)); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%s: Find() = %v for another namespace, want that it is not known", what, err)
		}
	}
}

// TestSignatureCannotBePushed is trouble of the registry's, whoever has made the image.
func TestSignatureCannotBePushed(t *testing.T) {
	for status, want := range map[int]build.Outcome{
		http.StatusServiceUnavailable: {Step: build.StepPush, Reason: build.ReasonRegistryUnreachable, Fault: build.InfrastructureFault},
		http.StatusForbidden:          {Step: build.StepPush, Reason: build.ReasonPushDenied, Fault: build.ConfigurationFault},
	} {
		w := newWorld(t).single()
		w.push("team/python:1", base(t, "amd64"))
		pushed := w.digest("team/python:1")
		w.refuse = func(r *http.Request) int {
			if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, ".sig") {
				return status
			}
			return 0
		}
		built := newMaker(noSecrets).Confirm(t.Context(), w.image("team", "team/python:1"), pushed)
		made, _ := newMaker(noSecrets).Make(t.Context(), w.request("team", "2"))
		for _, got := range []build.Outcome{built, made} {
			if !strings.Contains(got.Message, "pushing the signature of "+w.host+"/team/python:") {
				t.Errorf("%d: message %q, want it to name the signature", status, got.Message)
			}
			if got.Message = ""; got != want {
				t.Errorf("%d: %+v, want %+v", status, got, want)
			}
		}
	}
}

// TestAsked: what registries say of an image.
func TestAsked(t *testing.T) {
	w := newWorld(t).single()
	refusing := newWorld(t)
	w.makes(newMaker(noSecrets), w.request("team", "1"))
	for reference, want := range map[string]error{
		w.host + "/team/python:1":        nil,
		w.host + "/team/python:2":        registry.ErrNotFound,
		w.host + "/elsewhere:1":          registry.ErrNotFound,
		refusing.host + "/team/python:1": registry.ErrUnavailable,
		forbidden + "/team/python:1":     registry.ErrUnavailable,
		"NO REFERENCE":                   registry.ErrUnavailable,
	} {
		refusing.refuse = func(*http.Request) int { return http.StatusUnauthorized }
		if _, err := newMaker(noSecrets).Find(t.Context(), registry.Image{Namespace: "team", Reference: reference, Insecure: true}); !errors.Is(err, want) {
			t.Errorf("Find(%s) = %v, want %v", reference, err, want)
		}
	}
	if _, err := newMaker(noSecrets).Find(t.Context(), registry.Image{Namespace: "team", Reference: w.host + "/team/python:1", PushSecret: "nowhere", Insecure: true}); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("Find() = %v without the Secret of its credentials, want that the registry could not be asked", err)
	}
}
