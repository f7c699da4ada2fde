"""Streams in both directions."""

import struct
import time
import unittest

from front import Front

SYNC = """
    import threading, time
    from knative_lambda import Response, sse

    go = threading.Event()
    made = []
    closed = []

    def endless():
        try:
            while True:
                made.append(1)
                yield b"x" * 65536
        finally:
            closed.append(True)

    def two(first, second):
        yield first
        if not go.wait(20):
            raise TimeoutError
        yield second

    def fails():
        yield "first"
        raise ValueError("no")

    def handler(event, context):
        what = event["what"]
        if what == "go":
            go.set()
        elif what == "made":
            return len(made), len(closed)
        elif what == "endless":
            return endless()
        elif what == "fails":
            return fails()
        elif what == "first fails":
            return (1 / 0 for _ in [1])
        elif what == "none":
            return iter(())
        elif what == "response":
            return Response(two("<p>", "</p>"), 201, {"x-a": "1"}, content_type="text/html")
        elif what == "sse":
            return two(sse({"a": 1}, event="e"), sse("b\\nc"))
        elif what == "large":
            return iter([b"a" * 200000, "é"])
        elif what == "mixed":
            return iter(["a", 1])
        elif what == "file":
            return open(__file__, "rb")
        else:
            return two(*event["items"])
"""



def replaced(code, *changes):
    for old, new in changes:
        if old not in code:
            raise AssertionError("%r is not in the code" % old)
        code = code.replace(old, new)
    return code


# The same, asynchronous.
ASYNC = replaced(
    SYNC,
    ("import threading", "import asyncio"), ("threading.Event()", "asyncio.Event()"), ("    def ", "    async def "),
    ("if not go.wait(20):\n            raise TimeoutError", "await asyncio.wait_for(go.wait(), 20)"),
    ("made.append(1)", "made.append(1); await asyncio.sleep(0)"))

# A def handler that returns asynchronous generators.
MIXED = replaced(
    ASYNC,
    ("import asyncio", "import asyncio, threading"), ("asyncio.Event()", "threading.Event()"), ("async def handler", "def handler"),
    ("asyncio.wait_for(go.wait(), 20)", "asyncio.to_thread(go.wait, 20)"))

KINDS = ("threads", SYNC), ("tasks", ASYNC), ("async generators of def handlers", MIXED)


class Replies(unittest.TestCase):
    def test_the_first_item_comes_before_the_second_is_made(self):
        for name, code in KINDS:
            with self.subTest(name), Front(code, slots=2) as front:
                front.ready()
                number = front.send(1, {"what": "items", "items": ["a", "é"]})
                header = {"kind": "result", "id": number, "status": 200, "contentType": "text/plain; charset=utf-8", "more": True}
                self.assertEqual(front.receive(1), (header, b"a"))
                self.assertTrue(front.idle(1, 0.1))
                front.value({"what": "go"}, slot=2)
                self.assertEqual(front.receive(1), (None, "é".encode()))
                self.assertEqual(front.receive(1), (None, b""))

    def test_replies(self):
        for name, code in KINDS:
            with self.subTest(name), Front(code, slots=2) as front:
                front.ready()
                front.value({"what": "go"})
                for event, fields, body in (
                    ({"items": [{"a": 1}, "b"]}, {"contentType": "application/x-ndjson"}, b'{"a":1}\n"b"\n'),
                    ({"what": "response"}, {"status": 201, "contentType": "text/html", "headers": [["x-a", "1"]]}, b"<p></p>"),
                    ({"what": "sse"}, {"contentType": "text/event-stream", "headers": [["cache-control", "no-cache"]]},
                     b'event: e\ndata: {"a": 1}\n\ndata: b\ndata: c\n\n'),
                    ({"what": "large"}, {"contentType": "application/octet-stream"}, b"a" * 200000 + "é".encode()),
                ):
                    header, got = front.call({"what": "items", **event})
                    self.assertEqual(header, {"kind": "result", "id": header["id"], "status": 200, "more": True, **fields})
                    self.assertEqual(got, body)
                header, got = front.call({"what": "none"})
                self.assertEqual((header, got), ({"kind": "result", "id": header["id"], "status": 200}, b""))
                header, got = front.call({"what": "file"})
                self.assertIn(b"context", got)

    def test_errors(self):
        for name, code in KINDS:
            with self.subTest(name), Front(code, slots=2) as front:
                front.ready()
                for what, kind, first in ("fails", "ValueError", b"first"), ("mixed", "InvalidReply", b"a"):
                    header, body = front.call({"what": what})
                    self.assertEqual((header["kind"], body, header["tail"]["kind"], header["tail"]["type"]), ("result", first, "error", kind))
                header, _ = front.call({"what": "first fails"})
                self.assertEqual((header["kind"], header["type"]), ("error", "ZeroDivisionError"))
                front.value({"what": "go"})

    def test_a_slow_client_holds_the_generator(self):
        for name, code in KINDS:
            with self.subTest(name), Front(code, slots=2) as front:
                front.ready()
                number = front.send(1, {"what": "endless"})
                header, _ = front.receive(1)
                before = -1
                while True:
                    made, _ = front.value({"what": "made"}, slot=2)
                    if made == before:
                        break
                    before = made
                    time.sleep(0.2)
                self.assertLess(made, 20)  # what the socket holds
                front.cancel(1, number, "disconnect")
                while True:
                    header, body = front.receive(1)
                    if header is not None or not body:
                        break
                if header is not None:
                    self.assertEqual(header["type"], "Cancelled")
                self.assertEqual(front.value({"what": "made"})[1], 1)


class Requests(unittest.TestCase):
    def codes(self):
        code = """
            from knative_lambda import request_stream

            @request_stream
            %sdef handler(event, context):
                stream = context.request.stream
                if context.request.query.get("first"):
                    return len(%s)
                return [event, [len(piece) %sfor piece in stream]]
        """
        return ("threads", code % ("", "next(stream)", "")), ("tasks", code % ("async ", "await stream.__anext__()", "async "))

    def test_bodies_as_they_arrive(self):
        for name, code in self.codes():
            with self.subTest(name), Front(code, slots=2) as front:
                self.assertIs(front.ready()["requestStream"], True)
                number = front.send(1, body=b"abc", more=True)
                slot = front.connections[1]
                slot.send(None, b"x" * 65536)
                slot.send(None, b"yz")
                slot.send(None)
                self.assertEqual(front.receive(1), ({"kind": "result", "id": number, "contentType": "application/json"}, b"[null, [3, 65536, 2]]"))

    def test_the_rest_is_dropped_after_an_early_answer(self):
        for name, code in self.codes():
            for end in (None, {"kind": "error", "id": 1, "type": "Ended", "message": "answered"}):
                with self.subTest(name, end=end), Front(code, slots=2) as front:
                    front.ready()
                    front.send(1, body=b"abc", more=True, query=[["first", "1"]])
                    slot = front.connections[1]
                    self.assertEqual(front.receive(1)[1], b"3")
                    for _ in range(20):
                        slot.send(None, b"x" * 65536)
                    slot.send(end)
                    front.send(1, body=b"", more=True)
                    slot.send(None, b"12345")
                    slot.send(None)
                    self.assertEqual(front.receive(1)[1], b"[null, [5]]")

    def test_a_body_that_breaks_off(self):
        for name, code in self.codes():
            with self.subTest(name), Front(code, slots=2) as front:
                front.ready()
                number = front.send(1, body=b"abc", more=True)
                front.connections[1].send({"kind": "error", "id": number, "type": "Disconnected", "message": "the client left"})
                header, _ = front.receive(1)
                self.assertEqual((header["kind"], header["type"], header["message"]), ("error", "Disconnected", "Disconnected: the client left"))
                front.send(1, body=b"", more=True)
                front.connections[1].send(None)
                self.assertEqual(front.receive(1)[1], b"[null, []]")

    def test_back_pressure(self):
        code = """
            import asyncio
            from knative_lambda import request_stream

            @request_stream
            async def handler(event, context):
                await asyncio.sleep(1)
                return sum([len(piece) async for piece in context.request.stream])
        """
        with Front(code, slots=2) as front:
            front.ready()
            front.send(1, body=b"", more=True)
            data = (struct.pack(">II", 0, 65536) + bytes(65536)) * 100 + bytes(8)
            slot = front.connections[1]
            sent = slot.push(data, 0.5)
            self.assertLess(sent, 2 << 20)
            self.assertEqual(slot.push(data[sent:], 20), len(data) - sent)
            self.assertEqual(front.receive(1)[1], b"6553600")


if __name__ == "__main__":
    unittest.main()
