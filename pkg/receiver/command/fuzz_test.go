package command

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	goruntime "runtime"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// What answering any command may take.
const (
	maxTime   = 5 * time.Second
	maxMemory = 256 << 20
)

// FuzzCommand: whatever is posted is answered, in bounded time and memory, and changes no
// namespace but the one that lets commands in.
func FuzzCommand(f *testing.F) {
	for kind, data := range map[string]string{
		events.CommandFunctionDeploy: spec, events.CommandFunctionDelete: `{"name":"f"}`, events.CommandDeadLetterReplay: `{"id":"1"}`,
		events.CommandDeadLetterPurge: `{"all":true}`, events.CommandDeadLetterList: `{"limit":1}`, events.CommandFunctionDeploy + "x": `{`,
	} {
		f.Add(kind, "team/f", "application/json", []byte(data))
	}
	f.Add(events.CommandFunctionDeploy, "team/f", "application/json", []byte(`{"spec":{"resources":{"limits":{"cpu":"1e-2147483647"}},"source":{"inline":{"code":"x"}},"runtime":{"language":"python"}}}`))
	f.Add(events.CommandFunctionDeploy, "Team/f", "application/xml", []byte(`<a/>`))
	f.Fuzz(func(t *testing.T, kind, subject, media string, data []byte) {
		w := newWorld(t, letIn)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(data))
		for name, value := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": kind, "Ce-Source": source, "Ce-Subject": subject, "Content-Type": media} {
			r.Header.Set(name, value)
		}
		recorder := httptest.NewRecorder()
		var before, after goruntime.MemStats
		goruntime.ReadMemStats(&before)
		start := time.Now()
		w.ServeHTTP(recorder, r)
		took := time.Since(start)
		goruntime.ReadMemStats(&after)
		if took > maxTime {
			t.Errorf("it takes %s", took)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > maxMemory {
			t.Errorf("it takes %d bytes of memory", n)
		}
		if recorder.Code < 200 || recorder.Code >= 600 {
			t.Errorf("answered %d", recorder.Code)
		}
		for _, a := range w.lambda.Actions() {
			if a.GetNamespace() != "team" {
				t.Errorf("it acts in namespace %q: %v", a.GetNamespace(), a)
			}
		}
	})
}
