"""How handlers are found, recognised and loaded."""

import os
import shutil
import tempfile
import unittest

import support
from front import Front


class Kinds(unittest.TestCase):
    def check(self, code, kind, interface="handler", **options):
        with Front(code, slots=2, **options) as front:
            self.assertEqual(front.ready().get("interface"), interface)
            self.assertTrue(front.line(logger="runtime")["message"].endswith("is loaded: " + kind), front.text())

    def test_kinds(self):
        threads, loop, asgi, wsgi = "a handler, in threads", "an async handler, on an event loop", "an ASGI application", "a WSGI application"
        for code, kind in (
            ("def handler(event, context): pass", threads),
            ("def handler(): pass", threads),
            ("def handler(environ, response): pass", threads),
            ("def handler(scope, receive, send): pass", "fails"),
            ("def handler(event, context=None, *more): yield", threads),
            ("async def handler(event, context): pass", loop),
            ("async def handler(event): yield", loop),
            ("class H:\n    async def __call__(self, event, context): pass\nhandler = H()", loop),
            ("class H:\n    async def handle(self, event, context): pass\nhandler = H().handle", loop),
            ("import functools\nasync def f(x, event, context): pass\nhandler = functools.partial(f, 1)", loop),
            # A decorator that is not async is called in a thread, whatever it wraps.
            ("import asyncio, functools\nasync def f(event, context): pass\n@functools.wraps(f)\ndef handler(*a): return asyncio.run(f(*a))", threads),
            ("import functools\ndef f(environ, start_response): pass\n@functools.wraps(f)\ndef handler(*a): return f(*a)", wsgi),
            ("async def handler(scope, receive, send): pass", asgi),
            ("class A:\n    async def __call__(self, scope, receive, send): pass\nhandler = A()", asgi),
            ("def handler(environ, start_response): pass", wsgi),
            ("class A:\n    def __call__(self, env, start_response): pass\nhandler = A()", wsgi),
            ("class A:\n    wsgi_app = None\n    def __call__(self, *a): pass\nhandler = A()", wsgi),
        ):
            with self.subTest(code):
                if kind == "fails":
                    with Front(code, slots=2) as front:
                        self.assertIn("expected (event, context)", front.control.receive()[0]["message"])
                    continue
                self.check(code, kind, {asgi: "asgi", wsgi: "wsgi"}.get(kind, "handler"))

    def test_one_slot(self):
        with Front("def handler(event, context): pass", slots=1) as front:
            front.ready()
            front.line(message="main.handler is loaded: a handler, in the main thread")

    def test_free_threading(self):
        with Front("import sys\nsys._is_gil_enabled = lambda: False\ndef handler(event, context): pass", slots=2) as front:
            self.assertIs(front.ready()["parallel"], True)

    def test_interface_overrides(self):
        self.check("def handler(a, b): pass", "a WSGI application", "wsgi", LAMBDA_INTERFACE="wsgi")
        self.check("def handler(environ, start_response): pass", "a handler, in threads", LAMBDA_INTERFACE="handler")
        self.check("def new(): pass", "a handler, in threads", LAMBDA_INTERFACE="handler", handler="main.new")
        self.check("async def handler(*a): pass", "an ASGI application", "asgi", LAMBDA_INTERFACE="asgi")
        with Front("def handler(event, context): pass", slots=2, LAMBDA_INTERFACE="fetch") as front:
            self.assertEqual(front.control.receive()[0], {"kind": "failed", "message": 'interface "fetch" is not one of Python\'s, which are auto, handler, asgi, wsgi; '
                                                                                      "set spec.runtime.interface"})

    def test_the_factory_of_func(self):
        code = """
            def new():
                return Function()

            class Function:
                def start(self, cfg):
                    self.name = cfg["LAMBDA_HANDLER"]

                def stop(self):
                    print("stopped")

                async def handle(self, scope, receive, send):
                    await send({"type": "http.response.start", "status": 200, "headers": [[b"content-type", b"text/plain"]]})
                    await send({"type": "http.response.body", "body": self.name.encode()})
        """
        with Front(code, handler="main.new", slots=2) as front:
            self.assertEqual(front.ready()["interface"], "asgi")
            self.assertEqual(front.call()[1], b"main.new")
            self.assertEqual(front.stop(), 0)
            front.line(message="stopped")
        for code, message in (("def new(): return 1", 'handler "main.new" returned a int without a method handle'),
                              ("def new(): raise ValueError('no')", 'handler "main.new" failed: ValueError: no (main.py, line 1)'),
                              (code.replace('self.name = cfg["LAMBDA_HANDLER"]', 'raise ValueError(cfg["LAMBDA_HANDLER"])'), "the application did not start: ValueError: main.new")):
            with Front(code, handler="main.new", slots=2) as front:
                self.assertIn(message, front.control.receive()[0]["message"])
                self.assertEqual(front.stop(), 1)


class Failures(unittest.TestCase):
    def test_failures(self):
        for code, handler, message in (
            ("def other(): pass", "main.handler", 'handler "main.handler" not found: module "main" defines other; set spec.runtime.handler'),
            ("handler = 1", "main.handler", 'handler "main.handler" is a int, not a function or an application; set spec.runtime.handler'),
            ("", "main", 'handler "main" is not of the form <module>.<function>; set spec.runtime.handler'),
            ("", "app.handler", 'handler "app.handler" not found: the source has no module "app"; set spec.runtime.handler'),
            ("\nimport absent\n", "main.handler", 'cannot import "main": No module named \'absent\' (main.py, line 2); is it among the dependencies?'),
            ("def (", "main.handler", 'cannot import "main": SyntaxError: invalid syntax (main.py, line 1)'),
            ("raise ValueError('no')", "main.handler", 'cannot import "main": ValueError: no (main.py, line 1)'),
            ("import sys\nsys.exit(0)", "main.handler", 'cannot import "main": SystemExit: 0 (main.py, line 2)'),
            ("def handler(a, b, c): pass", "main.handler", 'handler "main.handler" takes (a, b, c); expected (event, context)'),
            ("raise ValueError('x' * 2000000)", "main.handler", ('cannot import "main": ValueError: ' + "x" * 16384)[:16384]),
        ):
            with self.subTest(code[:50]), Front(code, handler=handler, slots=2) as front:
                header, _ = front.control.receive()
                self.assertEqual(header, {"kind": "failed", "message": message})
                self.assertEqual(front.stop(), 1)

    def test_slashes_are_taken_for_dots(self):
        code = {"src/app/__init__.py": "", "src/app/pricing.py": "def price(n):\n    return n * 7\n",
                "src/app/main.py": "from .pricing import price\n\ndef lambda_handler(event, context):\n    return {'price': price(6)}\n"}
        for handler in "src/app/main.lambda_handler", "src.app.main.lambda_handler":
            with self.subTest(handler), Front(code, handler=handler, slots=2) as front:
                front.ready()
                self.assertEqual(front.value(), {"price": 42})


class Paths(unittest.TestCase):
    """The function's modules, its dependencies and its environment do not reach what
    the worker imports."""

    def setUp(self):
        # As in an image: worker and dependencies are next to each other.
        self.root = tempfile.TemporaryDirectory()
        self.addCleanup(self.root.cleanup)
        self.worker = os.path.join(self.root.name, "worker")
        shutil.copytree(support.WORKER, self.worker)
        self.write("dependencies/enum.py", "raise RuntimeError('a backport of what the standard library has')")
        self.write("dependencies/knative_lambda/__init__.py", "raise RuntimeError('not the worker\\'s')")
        self.write("dependencies/tinygreet.py", "def greet(n):\n    return 'Hello ' + n\n")
        self.write("dependencies/more.pth", os.path.join(self.root.name, "linked"))
        self.write("linked/linked.py", "NAME = 'linked'")
        self.write("dependencies/bin/tinygreet", "#!/bin/sh\necho hello\n")
        os.chmod(os.path.join(self.root.name, "dependencies/bin/tinygreet"), 0o755)

    def write(self, path, text):
        path = os.path.join(self.root.name, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)

    CODE = {"app.py": """
                import enum, shutil, sys
                import linked, shared, tinygreet, knative_lambda

                def handler(event, context):
                    return [tinygreet.greet("Ada"), shared.NAME, linked.NAME, shutil.which("tinygreet") is not None, hasattr(enum, "Enum"), knative_lambda.__file__ is not None]
            """,
            "frames.py": "raise RuntimeError('of the function')",
            "src/shared.py": "NAME = 'shared'", "src/logging.py": "raise RuntimeError('of PYTHONPATH')"}

    def test_dependencies_and_environment(self):
        for environ in {}, {"PYTHONSAFEPATH": "1"}, {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": ""}, {"PATH": "/bin"}:
            code = {**self.CODE, "shared.py": self.CODE["src/shared.py"]}
            with self.subTest(environ), Front(code, "app.handler", slots=2, path=self.worker, **environ) as front:
                front.ready()
                self.assertEqual(front.value(), ["Hello Ada", "shared", "linked", True, True, True])

    def test_pythonpath_is_the_functions(self):
        folder = os.path.join(self.root.name, "src")
        self.write("src/shared.py", "NAME = 'of PYTHONPATH'")
        self.write("src/select.py", "raise RuntimeError('for the function only')")
        with Front(self.CODE, "app.handler", slots=2, path=self.worker, PYTHONPATH=folder) as front:
            front.ready()
            self.assertEqual(front.value(), ["Hello Ada", "of PYTHONPATH", "linked", True, True, True])

    def test_own_modules_of_the_workers_names(self):
        code = {name: "NAME = %r\n" % name for name in ("worker.py", "frames.py", "lambda_worker.py", "codec.py")}
        code["main.py"] = "import codec, frames, lambda_worker, worker\ndef handler(event, context):\n    return [m.NAME for m in (worker, frames, lambda_worker, codec)]\n"
        with Front(code, slots=2) as front:
            front.ready()
            self.assertEqual(front.value(), ["worker.py", "frames.py", "lambda_worker.py", "codec.py"])

    def test_both_names_of_the_module_are_one(self):
        with Front("import knative_lambda, lambda_runtime\ndef handler(event, context):\n    return knative_lambda.Response is lambda_runtime.Response\n", slots=2) as front:
            front.ready()
            self.assertIs(front.value(), True)


class Loops(unittest.TestCase):
    def test_locks_and_tasks_of_modules(self):
        # On Python 3.9 they are bound to the event loop of the time when the module was imported.
        code = """
            import asyncio

            lock = asyncio.Lock()
            tasks = []

            async def later():
                await asyncio.sleep(0.01)

            async def run(event):
                async with lock:
                    tasks.append(asyncio.create_task(later()))
                    await asyncio.sleep(0)
                    return len(tasks)

            %s
        """
        for handler in "async def handler(event, context):\n    return await run(event)", "def handler(event, context):\n    return run(event)":
            for slots in 1, 3:
                with self.subTest(handler, slots=slots), Front(code % handler.replace("\n", "\n" + " " * 12), slots=slots) as front:
                    front.ready()
                    self.assertEqual([front.value(slot=1 + n % slots) for n in range(6)], [1, 2, 3, 4, 5, 6])

    def test_get_event_loop_in_threads(self):
        code = """
            import asyncio, warnings
            warnings.simplefilter("ignore", DeprecationWarning)

            async def work(n):
                await asyncio.sleep(0.2)
                return n

            def handler(event, context):
                return asyncio.get_event_loop().run_until_complete(work(event))
        """
        for slots in 1, 3:
            with self.subTest(slots=slots), Front(code, slots=slots) as front:
                front.ready()
                for slot in range(1, slots + 1):
                    front.send(slot, slot)
                self.assertEqual([front.receive(slot)[1] for slot in range(1, slots + 1)], [b"%d" % slot for slot in range(1, slots + 1)])
                self.assertEqual(front.value(7), 7)
                self.assertEqual(front.stop(), 0)
                self.assertEqual(len(front.lines()), 1, front.text())


if __name__ == "__main__":
    unittest.main()
