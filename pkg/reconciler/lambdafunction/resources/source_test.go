package resources

import (
	"encoding/json"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

func TestSourceRequest(t *testing.T) {
	cfg := &config.Build{MinIOEndpoint: "minio.minio:9000", SourceAllowedNetworks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	object := func(change ...func(*v1alpha1.ObjectSource)) *v1alpha1.ObjectSource {
		o := &v1alpha1.ObjectSource{Bucket: "b", Key: "k", Region: "r", VersionID: "v"}
		for _, c := range change {
			c(o)
		}
		return o
	}
	at := func(endpoint string) func(*v1alpha1.ObjectSource) {
		return func(o *v1alpha1.ObjectSource) { o.Endpoint = endpoint }
	}
	for name, tt := range map[string]struct {
		source   v1alpha1.FunctionSource
		endpoint string
	}{
		"the cluster's MinIO": {v1alpha1.FunctionSource{MinIO: object()}, "http://minio.minio:9000"},
		"another MinIO":       {v1alpha1.FunctionSource{MinIO: object(at("other:9000"))}, "http://other:9000"},
		"MinIO over TLS":      {v1alpha1.FunctionSource{MinIO: object(at("https://other/"))}, "https://other"},
		"S3":                  {v1alpha1.FunctionSource{S3: object()}, "https://s3.amazonaws.com"},
		"like S3":             {v1alpha1.FunctionSource{S3: object(at("store.example"))}, "https://store.example"},
		"Google":              {v1alpha1.FunctionSource{GCS: object()}, "https://storage.googleapis.com"},
	} {
		got, secret, err := SourceRequest(&tt.source, cfg)
		if err != nil || secret != "" {
			t.Errorf("%s: secret %q, error %v", name, secret, err)
		}
		same(t, name, source.Request{Object: &source.Object{Endpoint: tt.endpoint, Region: "r", Bucket: "b", Key: "k", VersionID: "v"}, AllowedNetworks: cfg.SourceAllowedNetworks}.Object, got.Object)
		if len(got.AllowedNetworks) != 1 {
			t.Errorf("%s: the allowed networks are not passed on", name)
		}
	}
	git := v1alpha1.FunctionSource{Git: &v1alpha1.GitSource{URL: "u", Ref: "r", Path: "p", SecretRef: &corev1.LocalObjectReference{Name: "s"}}}
	got, secret, err := SourceRequest(&git, cfg)
	if err != nil || secret != "s" {
		t.Errorf("git: secret %q, error %v", secret, err)
	}
	same(t, "git", &source.Git{URL: "u", Ref: "r", Path: "p"}, got.Git)
	if _, _, err := SourceRequest(&v1alpha1.FunctionSource{MinIO: object()}, &config.Build{}); err == nil {
		t.Error("a MinIO that nobody has named")
	}
}

// TestRecordedSource: the status is good for the request that it is of, and for no
// other.
func TestRecordedSource(t *testing.T) {
	object := source.Request{Object: &source.Object{Endpoint: "e", Bucket: "b", Key: "k"}}
	resolved := &source.Resolved{Request: object, Digest: "d", ETag: "t", VersionID: "v1", Size: 7}
	status := SourceStatus(v1alpha1.SourceS3, resolved)
	same(t, "status", &v1alpha1.SourceStatus{Type: v1alpha1.SourceS3, Digest: "d", URL: "e", Bucket: "b", Key: "k", VersionID: "v1", ETag: "t", Size: 7}, status)
	if got := RecordedSource(status, v1alpha1.SourceS3, object); got == nil || got.ETag != "t" || got.VersionID != "v1" || got.Size != 7 {
		t.Errorf("RecordedSource() = %+v", got)
	}
	for name, o := range map[string]source.Object{
		"endpoint": {Endpoint: "x", Bucket: "b", Key: "k"}, "bucket": {Endpoint: "e", Bucket: "x", Key: "k"},
		"key": {Endpoint: "e", Bucket: "b", Key: "x"}, "version": {Endpoint: "e", Bucket: "b", Key: "k", VersionID: "v2"},
	} {
		if RecordedSource(status, v1alpha1.SourceS3, source.Request{Object: &o}) != nil {
			t.Errorf("the status is taken for that of another %s", name)
		}
	}
	if RecordedSource(status, v1alpha1.SourceMinIO, object) != nil || RecordedSource(nil, v1alpha1.SourceS3, object) != nil {
		t.Error("the status is taken for that of another source")
	}
	git := source.Request{Git: &source.Git{URL: "u", Ref: "r", Path: "p"}}
	status = SourceStatus(v1alpha1.SourceGit, &source.Resolved{Request: git, Digest: "d", Commit: "c"})
	same(t, "status", &v1alpha1.SourceStatus{Type: v1alpha1.SourceGit, Digest: "d", URL: "u", Ref: "r", Path: "p", Commit: "c"}, status)
	if got := RecordedSource(status, v1alpha1.SourceGit, git); got == nil || got.Commit != "c" {
		t.Errorf("RecordedSource() = %+v", got)
	}
	git.Git.Ref = "other"
	if RecordedSource(status, v1alpha1.SourceGit, git) != nil {
		t.Error("the status is taken for that of another branch")
	}
}

// TestFetchedSource: the builder alone gets the credentials, as files, and the
// plan has none of them.
func TestFetchedSource(t *testing.T) {
	f := function(func(f *v1alpha1.LambdaFunction) {
		f.Spec.Source.Git = &v1alpha1.GitSource{SecretRef: &corev1.LocalObjectReference{Name: "git"}}
	})
	b := wanted()
	b.Files, b.Source = nil, &source.Resolved{Request: source.Request{Git: &source.Git{URL: "u"}, AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, Digest: "d", Commit: "c"}
	input, err := MakeBuildInput(f, b)
	if err != nil {
		t.Fatal(err)
	}
	if len(input.BinaryData) != 0 || len(input.Data) != 1 {
		t.Errorf("the input has %v, want the plan alone", input)
	}
	var plan build.Plan
	if err := json.Unmarshal([]byte(input.Data[build.PlanFile]), &plan); err != nil {
		t.Fatal(err)
	}
	want := &build.FetchPlan{Resolved: b.Source, Secret: "git", Input: b.Input, Dependencies: "requirements.txt"}
	if got, want := mustMarshal(t, plan.Source), mustMarshal(t, want); got != want {
		t.Errorf("plan = %s, want %s", got, want)
	}

	pod := MakeBuildJob(f, b, buildConfig()).Spec.Template.Spec
	same(t, "volume", corev1.Volume{Name: "source", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "git", Optional: ptr.Bool(true)}}}, pod.Volumes[len(pod.Volumes)-1])
	mounts := pod.InitContainers[0].VolumeMounts
	same(t, "mount", corev1.VolumeMount{Name: "source", MountPath: build.SourceSecretDir, ReadOnly: true}, mounts[len(mounts)-1])
	for _, m := range pod.Containers[0].VolumeMounts {
		if m.Name == "source" {
			t.Error("Kaniko gets the credentials of the source")
		}
	}
}

func mustMarshal(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
