package v1alpha1

import (
	"context"
	"strings"
	"testing"
)

// TestCheckURL_RefusesMoreThanAPlace: user info, query and fragment are refused, and a
// password is not repeated.
func TestCheckURL_RefusesMoreThanAPlace(t *testing.T) {
	for text, want := range map[string]string{
		"https://a.example/path": "", "http://a.example:8080": "",
		"ftp://a.example": "begins with http://", "ftp://admin:hunter2@a.example": "begins with http://", "https://:80": "begins with http://", "https://": "begins with http://",
		"https://admin:hunter2@a.example/": "without user info", "https://admin@a.example/": "without user info",
		"https://a.example/?x=1": "without query", "https://a.example/?": "without query",
		"https://a.example/#x": "without query and fragment", "https://a.example/#": "without query and fragment",
	} {
		got := ""
		if err := checkURL(text, "endpoint", "http", "https"); err != nil {
			got = err.Error()
		}
		if (want == "") != (got == "") || !strings.Contains(got, want) || strings.Contains(got, "hunter2") {
			t.Errorf("checkURL(%q) = %q, want %q", text, got, want)
		}
	}
	for provider, ok := range map[Provider]bool{ProviderAzureOpenAI: true, ProviderOpenAICompatible: false} {
		m := ModelSpec{Provider: provider, Model: "m", Endpoint: "https://a.example/openai?api-version=2024-10-21"}
		if err := m.validate(); strings.Contains(err.Error(), "query") == ok {
			t.Errorf("provider %s: %v", provider, err)
		}
	}
}

// TestDestination_RefusesUserInfo: sinks have no credentials in their URL, and a password
// is not repeated.
func TestDestination_RefusesUserInfo(t *testing.T) {
	for text, field := range map[string]string{
		`{eventing: {enabled: true, sink: {uri: "https://admin:hunter2@sink.test/x?y=1"}}}`:                                    "spec.eventing.sink.uri",
		`{eventing: {enabled: true, sink: {uri: "//admin:hunter2@sink.test", ref: {apiVersion: v1, kind: Service, name: s}}}}`: "spec.eventing.sink.uri",
		`{triggers: [{broker: shop, delivery: {deadLetterSink: {uri: "http://admin:hunter2@sink.test"}}}]}`:                    "spec.triggers[0].delivery.deadLetterSink.uri",
	} {
		err := eventful(t, text).Validate(context.Background())
		if err == nil || !strings.Contains(err.Error(), field+"\nexpected a URL without user info") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error = %v, want user info refused in %s", text, err, field)
		}
	}
	for _, text := range []string{
		`{eventing: {enabled: true, sink: {uri: "https://sink.test/x?y=1#z"}}}`,
		`{eventing: {enabled: true, sink: {uri: "/x#z", ref: {apiVersion: v1, kind: Service, name: s}}}}`,
		`{triggers: [{broker: shop, delivery: {deadLetterSink: {uri: "http://sink.test/#z"}}}]}`,
	} {
		if err := eventful(t, text).Validate(context.Background()); err == nil || !strings.Contains(err.Error(), "uri\nexpected a URL without fragment") {
			t.Errorf("%s: error = %v, want the fragment refused", text, err)
		}
	}
	if err := eventful(t, `{eventing: {enabled: true, sink: {uri: "https://sink.test/x?y=1"}}}`).Validate(context.Background()); err != nil {
		t.Errorf("a URL with a query: %v", err)
	}
}
