package lambdatest_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/lambda/lambdatest"
)

func hello(ctx context.Context, in struct{ Name string }) (string, error) {
	lambda.FromContext(ctx).Logger().Info("greeting")
	return "Hello " + in.Name + " of " + lambda.RequestFrom(ctx).Header.Get("X-Team") + lambda.FromContext(ctx).ID, nil
}

func TestServer(t *testing.T) {
	var logs strings.Builder
	server := lambdatest.NewServer(t, hello, lambdatest.Options{MaxBody: 1024, Logger: slog.New(slog.NewTextHandler(&logs, nil))})
	for body, want := range map[string]string{`{"name": "Ada"}`: `"Hello Ada of "`, strings.Repeat("x", 2000): `{"type":"InvalidRequest","message":"the body is longer than 1024 bytes","permanent":true}`} {
		response, err := http.Post(server.URL, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if got, err := io.ReadAll(response.Body); err != nil || string(got) != want {
			t.Errorf("answered %s, %v, want %s", got, err, want)
		}
	}
	if !strings.Contains(logs.String(), "greeting") {
		t.Errorf("the log is %q", logs.String())
	}
}

func TestTimeout(t *testing.T) {
	server := lambdatest.NewServer(t, func(ctx context.Context) { <-ctx.Done() }, lambdatest.Options{Timeout: 10 * time.Millisecond})
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("answered %d", response.StatusCode)
	}
}

// TestContext: a handler can be called by itself.
func TestContext(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/a?q=1", strings.NewReader("body"))
	r.Header.Set("X-Team", "x")
	ctx := lambda.NewContext(t.Context(), &lambda.Context{ID: "7"}, r)
	if got, err := hello(ctx, struct{ Name string }{"Ada"}); err != nil || got != "Hello Ada of x7" {
		t.Errorf("returned %s, %v", got, err)
	}
	c := lambda.FromContext(ctx)
	if body, err := io.ReadAll(lambda.RequestFrom(ctx).Body); err != nil || string(body) != "body" || c.Method != http.MethodPost || c.Path != "/a" || c.Query().Get("q") != "1" {
		t.Errorf("the body is %s, %v, the context %+v", body, err, c)
	}
	if remaining := lambda.FromContext(lambda.NewContext(t.Context(), nil, nil)).RemainingTime(); remaining != 0 {
		t.Errorf("%v remain of no time", remaining)
	}
	limited, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if remaining := lambda.FromContext(lambda.NewContext(limited, nil, nil)).RemainingTime(); remaining < time.Minute {
		t.Errorf("%v remain of an hour", remaining)
	}
}
