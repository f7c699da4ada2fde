"""The module knative_lambda, as unit tests of handlers use it."""

import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
import unittest

import support
from knative_lambda import CloudEvent, File, Flag, HTTPError, Pairs, Response, ServerSentEvent, request_stream, sse
from knative_lambda.testing import fake_context


class FakeContext(unittest.TestCase):
    def test_plain_request(self):
        context = fake_context(method="PUT", path="/a", query={"q": "1"}, headers=[("X-A", "1"), ("X-A", "2"), ("Cookie", "s=1")], body={"a": 1}, timeout=5)
        self.assertEqual((context.id, context.type, context.extensions, context.trace_id), (None, None, {}, None))
        self.assertEqual((context.method, context.path, context.request.query["q"], context.headers["x-a"], context.request.cookies), ("PUT", "/a", "1", "1, 2", {"s": "1"}))
        self.assertEqual((context.request.body, list(context.request.stream), context.function_name), (b'{"a": 1}', [b'{"a": 1}'], "function"))
        self.assertTrue(4 < context.remaining_time() <= 5)
        self.assertEqual(fake_context().request.body, b"")
        self.assertEqual(fake_context(body="é").request.body, "é".encode())

    def test_event(self):
        context = fake_context({"type": "io.example.t", "note": "x"})
        self.assertEqual((context.id, context.type, context.source, context.extensions), ("test", "io.example.t", "/test", {"note": "x"}))

    def test_flags(self):
        context = fake_context()
        self.assertFalse(context.cancelled)
        self.assertFalse(context.cancelled.wait(0))
        timer = threading.Timer(0.05, context.cancelled.set)
        timer.start()
        self.assertTrue(context.cancelled.wait(20))
        self.assertTrue(context.cancelled.is_set() and context.cancelled and not context.stopping)
        timer.join()

    def test_no_wait_is_missed(self):
        for _ in range(200):
            flag = Flag()
            thread = threading.Thread(target=flag.set)
            thread.start()
            begin = time.monotonic()
            self.assertTrue(flag.wait(20))
            self.assertLess(time.monotonic() - begin, 10)
            thread.join()


class Values(unittest.TestCase):
    def test_pairs(self):
        pairs = Pairs([["a", "1"], ["b", "2"], ["a", "3"]])
        self.assertEqual((pairs["a"], pairs.get_all("a"), pairs.get("c"), pairs.get_all("c"), list(pairs), len(pairs), dict(pairs)),
                         ("1", ["1", "3"], None, [], ["a", "b"], 2, {"a": "1", "b": "2"}))
        self.assertEqual(repr(pairs), "Pairs([('a', '1'), ('b', '2'), ('a', '3')])")

    def test_server_sent_events(self):
        for event, text in ((sse("a"), "data: a\n\n"), (sse(), "data: \n\n"), (sse("a\r\nb\rc\n"), "data: a\ndata: b\ndata: c\ndata: \n\n"),
                            (sse({"a": 1}, event="e", id="7", retry=1000), 'event: e\nid: 7\nretry: 1000\ndata: {"a": 1}\n\n')):
            self.assertEqual(event, text)
            self.assertIsInstance(event, ServerSentEvent)
        with self.assertRaisesRegex(ValueError, "the id of a server-sent event"):
            sse("a", id="1\ndata: forged")

    def test_errors(self):
        error = HTTPError(429, "later", headers={"Retry-After": "1"})
        self.assertEqual((str(error), error.status, error.headers), ("later", 429, [("Retry-After", "1")]))
        self.assertEqual(str(HTTPError(404)), "HTTP status 404")
        for status in 200, 600, "404":
            with self.assertRaises(ValueError):
                HTTPError(status)

    def test_what_handlers_make(self):
        self.assertEqual(Response(cookies="a=1").cookies, ["a=1"])
        self.assertEqual(CloudEvent("t", 1, subject="s").attributes, {"subject": "s"})
        self.assertEqual(repr(File("f", "a.txt", "text/plain", b"abc")), "File('f', 'a.txt', 'text/plain', 3 bytes)")
        handler = request_stream(lambda event, context: None)
        self.assertIs(handler.request_stream, True)

    def test_names(self):
        self.assertEqual(traceback.format_exception_only(HTTPError, HTTPError(404)), ["knative_lambda.HTTPError: HTTP status 404\n"])
        self.assertEqual(pickle.loads(pickle.dumps(CloudEvent("t", 1))).data, 1)

    def test_needs_nothing_of_the_worker(self):
        code = "import sys, knative_lambda, knative_lambda.testing; print(sorted(m for m in sys.modules if 'lambda' in m))"
        out = subprocess.run([sys.executable, "-c", code], env=dict(os.environ, PYTHONPATH=support.WORKER), capture_output=True, text=True, check=True).stdout
        self.assertEqual(out.strip(), "['knative_lambda', 'knative_lambda._context', 'knative_lambda._reply', 'knative_lambda.testing']")


if __name__ == "__main__":
    unittest.main()
