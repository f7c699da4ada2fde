package runtime

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkFront measures what the front costs without workers and sockets.
func BenchmarkFront(b *testing.B) {
	telemetry, err := StartTelemetry(b.Context(), &Config{}, lookup())
	if err != nil {
		b.Fatal(err)
	}
	server := NewServer(&Config{MaxBody: 1 << 20, EventSource: "/bench"}, fixed{}, telemetry)
	for name, headers := range map[string][]string{
		"plain":      {"Content-Type", "application/json"},
		"binary":     {"Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "io.example.bench"},
		"structured": {"Content-Type", "application/cloudevents+json"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			body := `{"specversion": "1.0", "id": "1", "source": "/s", "type": "io.example.bench", "data": {"name": "Ada"}}`
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
				for i := 0; i < len(headers); i += 2 {
					r.Header.Set(headers[i], headers[i+1])
				}
				w := httptest.NewRecorder()
				server.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatalf("answered %d %s", w.Code, w.Body)
				}
			}
		})
	}
}

// fixed answers always the same.
type fixed struct{ linked }

func (fixed) Invoke(context.Context, *Invocation) (*Result, error) {
	return &Result{ContentType: typeJSON, Body: []byte(`{"message": "Hello, Ada!"}`)}, nil
}
