package runtime

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestHandlersThatCannotBeLoaded(t *testing.T) {
	const good = "def handler(event, context):\n    return 1\n"
	for _, tt := range []struct {
		name, code, handler string
		want                string
	}{
		{"no such function", good, "main.handlr", `handler "main.handlr" not found: module "main" defines handler; set spec.runtime.handler`},
		{"no function at all", "x = 1\n", "main.handler", `handler "main.handler" not found: module "main" defines no function; set spec.runtime.handler`},
		{"no such module", good, "mian.handler", `handler "mian.handler" not found: the source has no module "mian"; set spec.runtime.handler`},
		{"no such package", good, "lib.main.handler", `handler "lib.main.handler" not found: the source has no module "lib.main"; set spec.runtime.handler`},
		{"no dot", good, "handler", `handler "handler" is not of the form <module>.<function>; set spec.runtime.handler`},
		{"not a function", "handler = 3\n", "main.handler", `handler "main.handler" is a int, not a function; set spec.runtime.handler`},
		{"syntax error", "def handler(event, context):\n    pass\n  oops\n", "main.handler", `cannot import "main": IndentationError: unindent does not match any outer indentation level (main.py, line 3)`},
		{"error at import", "import os\n\nos.environ['MISSING']\n" + good, "main.handler", `cannot import "main": KeyError: 'MISSING' (main.py, line 3)`},
		{"missing dependency", "import requestz\n" + good, "main.handler", `cannot import "main": No module named 'requestz' (main.py, line 1); is it among the dependencies?`},
		{"exit at import", "import sys\nsys.exit(0)\n", "main.handler", `cannot import "main": SystemExit: 0 (main.py, line 2)`},
		{"death at import", "import os\nos._exit(7)\n", "main.handler", `the worker ended while it loaded handler "main.handler": exit status 7`},
		{"three parameters", "def handler(event, context, more):\n    return 1\n", "main.handler", `handler "main.handler" takes (event, context, more); expected (event, context)`},
		{"keyword needed", "def handler(event, context, *, more):\n    return 1\n", "main.handler", `handler "main.handler" takes (event, context, *, more); expected (event, context)`},
		{"never ends", "import time\ntime.sleep(3600)\n", "main.handler", `handler "main.handler" was not loaded within 1s: do less when the module is imported`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tryStart(t, tt.code, func(s *settings) { s.Handler, s.StartTimeout = tt.handler, time.Second })
			var load *LoadError
			if !errors.As(err, &load) || err.Error() != tt.want {
				t.Errorf("failed with %v\nexpected the LoadError %s", err, tt.want)
			}
		})
	}
}

func TestShapesOfHandlers(t *testing.T) {
	for name, code := range map[string]string{
		"both":            "def handler(event, context):\n    return [event, context.method]\n",
		"optional more":   "def handler(event, context, more=1, *, other=2):\n    return [event, context.method]\n",
		"optional second": "def handler(event, context=None):\n    return [event, context.method]\n",
		"starred":         "def handler(*args):\n    return [args[0], args[1].method]\n",
		"event":           "def handler(event):\n    return [event, 'POST']\n",
		"nothing":         "def handler():\n    return [1, 'POST']\n",
		"async":           "import asyncio\nasync def handler(event, context):\n    await asyncio.sleep(0)\n    return [event, context.method]\n",
		"lambda":          "handler = lambda event, context: [event, context.method]\n",
		"partial":         "import functools\ndef f(a, event, context):\n    return [event, context.method]\nhandler = functools.partial(f, 1)\n",
		"object":          "class H:\n    def __call__(self, event, context):\n        return [event, context.method]\nhandler = H()\n",
		"async object":    "class H:\n    async def __call__(self, event):\n        return [event, 'POST']\nhandler = H()\n",
		"method":          "class H:\n    def handle(self, event, context):\n        return [event, context.method]\nhandler = H().handle\n",
		"method of event": "class H:\n    def handle(self, event):\n        return [event, 'POST']\nhandler = H().handle\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, code, func(s *settings) { s.Workers = 1 })
			for range 2 {
				if got := f.sendJSON(t, `1`); string(got.body) != `[1, "POST"]` {
					t.Errorf("answered %d %s, expected [1, \"POST\"]", got.status, got.body)
				}
			}
		})
	}
}

func TestHandlerInAPackage(t *testing.T) {
	f := start(t, "", func(s *settings) {
		s.Handler = "app.api.handle"
		s.files["app/api.py"] = "from .lib import answer\nimport helper\ndef handle(event, context):\n    return [answer, helper.answer]\n"
		s.files["app/lib.py"] = "answer = 1\n"
		s.files["helper.py"] = "answer = 2\n"
	})
	if got := f.sendJSON(t, ``); string(got.body) != `[1, 2]` {
		t.Errorf("answered %d %s", got.status, got.body)
	}
}

// TestWorkersThatBreakTheProtocol has workers of another language in mind.
func TestWorkersThatBreakTheProtocol(t *testing.T) {
	const prelude = `
import os, json, struct, time
def send(header, body=b""):
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    os.write(3, struct.pack(">II", len(head), len(body)) + head + body)
`
	run := func(script string) func(*settings) {
		return func(s *settings) { s.Command = []string{python(t), "-c", prelude + script} }
	}
	for _, tt := range []struct{ name, script, want string }{
		{"another first word", `send({"kind": "hello"}); time.sleep(60)`, `the worker's first frame is "hello", expected "ready" or "failed"`},
		{"no JSON", `send(b"nonsense"); time.sleep(60)`, `the worker ended while it loaded handler "main.handler": it closed its socket`},
		{"ends at once", ``, `the worker ended while it loaded handler "main.handler": it exited with status 0`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := tryStart(t, "", run(tt.script)); err == nil || err.Error() != tt.want {
				t.Errorf("failed with %v, expected %s", err, tt.want)
			}
		})
	}
	t.Run("no such command", func(t *testing.T) {
		_, err := tryStart(t, "", func(s *settings) { s.Command = []string{"/no/such/worker"} })
		if err == nil || !strings.Contains(err.Error(), "cannot start the worker: ") || !strings.Contains(err.Error(), "/no/such/worker") {
			t.Errorf("failed with %v", err)
		}
	})
	for _, tt := range []struct{ name, reply string }{
		{"another id", `{"kind": "result", "id": 999}`},
		{"another kind", `{"kind": "ready", "id": 1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, "", run(`send({"kind": "ready"}); os.read(3, 65536); send(b'`+tt.reply+`'); time.sleep(60)`))
			if got := f.sendJSON(t, ``).value(t); got["type"] != "WorkerDied" {
				t.Errorf("answered %v, expected WorkerDied", got)
			}
		})
	}
}
