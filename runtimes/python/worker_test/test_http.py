"""Requests as handlers get them, and errors as they leave the worker."""

import unittest

from front import Front

HANDLER = """
    import sys
    from lambda_runtime import CloudEvent, HTTPError, PermanentError

    class Broken(Exception):
        def __str__(self):
            raise KeyError("broken")

    class Own(Exception):
        permanent = True

    def handler(event, context):
        what = event["what"]
        if what == "context":
            request = context.request
            return {"method": context.method, "path": context.path, "query": request.query.pairs, "b": request.query["b"], "bs": request.query.get_all("b"),
                    "x": request.headers["X-A"], "xs": request.headers.get_all("x-a"), "joined": context.headers["x-a"], "cookie": context.headers["cookie"],
                    "cookies": request.cookies, "body": len(request.body), "stream": [len(p) for p in request.stream], "name": context.function_name,
                    "id": context.id, "subject": context.subject, "extensions": context.extensions, "remaining": 8 < context.remaining_time() <= 10,
                    "trace": context.trace_id, "span": context.span_id, "state": context.tracestate, "flags": [bool(context.cancelled), bool(context.stopping)]}
        if what == "error":
            raise ValueError("it: failed")
        if what == "wide":
            raise ValueError("upstream: " + "\\u7ed3\\u679c" * 50000)
        if what == "permanent":
            raise PermanentError("x" * 600000)
        if what == "own":
            raise Own("for good")
        if what == "http":
            raise HTTPError(405, "POST only", headers={"Allow": "POST"})
        if what == "bad http":
            raise HTTPError(400, "no", headers={"a\\n": "b"})
        if what == "wrong http":
            raise HTTPError(200)
        if what == "broken":
            raise Broken
        if what == "chain":
            try:
                1 / 0
            except ZeroDivisionError as e:
                raise ValueError("outer") from e
        if what == "deep":
            return handler(event, context)
        if what == "exit":
            sys.exit(3)
        if what == "large attributes":
            return CloudEvent("t", subject="s" * (2 << 20))
        if what == "large":
            return b"x" * (3 << 20)
"""


class Requests(unittest.TestCase):
    def test_context(self):
        with Front(HANDLER, slots=2, LAMBDA_FUNCTION_NAME="f", LAMBDA_FUNCTION_NAMESPACE="ns") as front:
            front.ready()
            got = front.value({"what": "context"}, method="PUT", path="/a%20b", query=[["b", "1"], ["b", "2"], ["c", ""]],
                              headers=[["x-a", "1"], ["x-a", "2"], ["cookie", "s=1; t=\"2\""], ["cookie", "u=3"]], traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01", tracestate="k=v",
                              event={"specversion": "1.0", "id": "i", "source": "/s", "type": "t", "subject": "Café", "note": "5 €"})
            self.assertEqual(got, {
                "method": "PUT", "path": "/a%20b", "query": [["b", "1"], ["b", "2"], ["c", ""]], "b": "1", "bs": ["1", "2"], "x": "1", "xs": ["1", "2"], "joined": "1, 2",
                "cookie": "s=1; t=\"2\"; u=3", "cookies": {"s": "1", "t": "2", "u": "3"}, "body": 19, "stream": [19], "name": "f", "id": "i", "subject": "Café",
                "extensions": {"note": "5 €"}, "remaining": True, "trace": "a" * 32, "span": "b" * 16, "state": "k=v", "flags": [False, False]})

    def test_malformed_bodies(self):
        with Front(HANDLER, slots=2) as front:
            front.ready()
            header, _ = front.call(body=b'{"temp": NaN}', contentType="application/json")
            self.assertEqual(header, {"kind": "error", "id": 1, "type": "InvalidRequest", "badInput": True,
                                      "message": "the body is not the JSON that its content type application/json announces: NaN is not a JSON number"})
            self.assertEqual(len(front.lines()), 1)  # the client's fault is no line of the log

    def test_large_bodies(self):
        for code in ("def handler(event, context):\n    return event\n", "async def handler(event, context):\n    return event\n"):
            with Front(code, slots=2) as front:
                front.ready()
                body = bytes(range(256)) * 16384
                header, got = front.call(body=body, contentType="application/octet-stream")
                self.assertEqual((header["contentType"], got == body), ("application/octet-stream", True))


class Errors(unittest.TestCase):
    def test_errors(self):
        for name, code in ("threads", HANDLER), ("tasks", HANDLER.replace("    def handler", "    async def handler").replace("return handler", "return await handler")):
            with self.subTest(name), Front(code, slots=2) as front:
                front.ready()
                for what, want in (
                    ("error", {"type": "ValueError", "message": "it: failed"}),
                    ("own", {"type": "Own", "message": "for good", "permanent": True}),
                    ("http", {"type": "HTTPError", "message": "POST only", "status": 405, "headers": [["Allow", "POST"]]}),
                    ("bad http", {"type": "InvalidReply", "message": "the handler returned a header with the name 'a\\n', expected letters, digits and hyphens"}),
                    ("wrong http", {"type": "ValueError", "message": "the status of an HTTPError is 200, expected 400 to 599"}),
                    ("broken", {"type": "Broken", "message": "(its text cannot be read)"}),
                    ("chain", {"type": "ValueError", "message": "outer"}),
                    ("exit", {"type": "SystemExit", "message": "3"}),
                ):
                    header, body = front.call({"what": what})
                    stack = header.pop("stack", "main.py")
                    self.assertEqual((header, body), ({"kind": "error", "id": header["id"], **want}, b""))
                    self.assertNotIn("knative_lambda_worker", stack if what != "bad http" else "")
                    if what == "chain":
                        self.assertIn("ZeroDivisionError", stack)
                        self.assertIn("in handler", stack)

    def test_long_texts_are_cut(self):
        with Front(HANDLER, slots=2) as front:
            front.ready()
            for what, kind, permanent in ("wide", "ValueError", None), ("permanent", "PermanentError", True), ("deep", "RecursionError", None):
                header, _ = front.call({"what": what})
                self.assertEqual((header["kind"], header["type"], header.get("permanent")), ("error", kind, permanent))
                self.assertLessEqual(len(header["message"].encode()), 16 << 10)
                self.assertLessEqual(len(header["stack"].encode()), 64 << 10)
                self.assertIn("main.py", header["stack"])
            header, _ = front.call({"what": "large attributes"})
            self.assertEqual(header["type"], "InvalidReply")
            self.assertRegex(header["message"], "the header of the reply has 2097[0-9]* bytes, expected at most 1048576")
            self.assertEqual(len(front.call({"what": "large"})[1]), 3 << 20)
            self.assertTrue(all(len(line["message"]) < 17 << 10 and len(line.get("exception", "")) <= 64 << 10 for line in front.lines()))

    def test_error_that_says_too_much(self):
        code = "class E(Exception): pass\nE.__name__ = 'E' * (2 << 20)\ndef handler(event, context):\n    raise E\n"
        with Front(code, slots=2) as front:
            front.ready()
            header, _ = front.call()
            self.assertEqual(header["kind"], "error")


if __name__ == "__main__":
    unittest.main()
