package front

import (
	"io"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// BenchmarkInvoke is a call without HTTP: the slots and the frames. The worker, which
// is in the same process, counts too.
func BenchmarkInvoke(b *testing.B) {
	telemetry, err := runtime.StartTelemetry(b.Context(), &runtime.Config{}, func(string) string { return "" })
	if err != nil {
		b.Fatal(err)
	}
	defer telemetry.Shutdown()
	d := &double{ready: ready, handle: func(c *call) { c.result(string(c.body)) }}
	p := start(&Pool{cfg: &runtime.PoolConfig{Workers: 1, Concurrency: 100, Queue: 100, Timeout: time.Minute, StartTimeout: time.Minute, MaxBody: 1 << 20},
		timing: defaultTiming, telemetry: telemetry, stdout: io.Discard, stderr: io.Discard, launch: d.launch})
	defer p.Close()
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := p.Invoke(b.Context(), &runtime.Invocation{Method: "POST", Path: "/", ContentType: "application/json", Body: []byte(`{"a":1}`)}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
