"""ASGI applications."""

import unittest

from front import Front

ASGI = """
    import asyncio

    go = asyncio.Event()
    seen = []

    async def handler(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["pool"] = "open"
            await send({"type": "lifespan.startup.complete"})
            print((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})
            return
        path = scope["path"]
        if path == "/scope":
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message["body"], message["more_body"]
            text = "|".join(map(str, (scope["method"], scope["path"], scope["raw_path"], scope["query_string"], scope["headers"], scope["client"], scope["server"],
                                      scope["scheme"], scope["state"], body)))
            await send({"type": "http.response.start", "status": 201, "headers": [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x-latin", b"\\xe9")]})
            await send({"type": "http.response.body", "body": text.encode()})
        elif path == "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
            await go.wait()
            await send({"type": "http.response.body", "body": b"second", "more_body": True})
            await send({"type": "http.response.body"})
        elif path == "/go":
            go.set()
            await send({"type": "http.response.start", "status": 204})
            await send({"type": "http.response.body"})
        elif path == "/trailers":
            await send({"type": "http.response.start", "status": 200, "trailers": True})
            await send({"type": "http.response.body", "body": b"x"})
            await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})
        elif path == "/echo":
            await send({"type": "http.response.start", "status": 200})
            while True:
                message = await receive()
                await send({"type": "http.response.body", "body": message["body"], "more_body": message["more_body"]})
                if not message["more_body"]:
                    return
        elif path == "/wait":
            print("waits")
            seen.append((await receive())["type"])
            seen.append((await receive())["type"])
            await send({"type": "http.response.start", "status": 200})
        elif path == "/endless":
            await send({"type": "http.response.start", "status": 200})
            try:
                while True:
                    await send({"type": "http.response.body", "body": b"x" * 100000, "more_body": True})
            except OSError:
                seen.append("closed")
                raise
        elif path == "/seen":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": ",".join(seen).encode()})
        elif path == "/nothing":
            return
        elif path == "/unfinished":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        elif path == "/bad":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\\r\\nb")]})
        elif path == "/error":
            raise ValueError("no")
        elif path == "/fails":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            raise ValueError("no")
        elif path == "/disconnect":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body"})
            seen.append((await receive())["type"])
            seen.append((await receive())["type"])
"""


class ASGIApplications(unittest.TestCase):
    def test_requests_and_responses(self):
        with Front(ASGI, slots=2) as front:
            self.assertEqual(front.ready(), {"kind": "ready", "protocol": 2, "interface": "asgi", "requestStream": True})
            header, body = front.call(body=b"xyz", method="PUT", path="/sco%70e", query=[["a", "1 2"], ["b", ""]],
                                      headers=[["host", "f.example:8080"], ["x-a", "1"], ["x-a", "é"], ["x-forwarded-for", "192.0.2.1, 10.0.0.1"], ["x-forwarded-proto", "https"]])
            self.assertEqual(header, {"kind": "result", "id": 1, "status": 201, "headers": [["set-cookie", "a=1"], ["set-cookie", "b=2"], ["x-latin", "é"]]})
            self.assertEqual(body.decode(), "PUT|/scope|b'/sco%70e'|b'a=1%202&b='|[(b'host', b'f.example:8080'), (b'x-a', b'1'), (b'x-a', b'\\xc3\\xa9'), "
                             "(b'x-forwarded-for', b'192.0.2.1, 10.0.0.1'), (b'x-forwarded-proto', b'https')]|('192.0.2.1', 0)|('f.example', 8080)|https|{'pool': 'open'}|b'xyz'")
            _, body = front.call(path="/scope", headers=[["traceparent", "of the client"], ["x-a", "1"]], traceparent="of the call", tracestate="k=v")
            self.assertIn("[(b'x-a', b'1'), (b'traceparent', b'of the call'), (b'tracestate', b'k=v')]", body.decode())
            _, body = front.call(path="/scope", rawQuery="a&b=%2F", query=[["a", ""], ["b", "/"]], headers=[])
            self.assertIn("|b'a&b=%2F'|[]|None|('localhost', 80)|http|", body.decode())
            for host, want in ("[::1]:81", "('::1', 81)"), ("[", "('localhost', 80)"), ("a:b", "('localhost', 80)"), ("a:99999", "('localhost', 80)"):
                self.assertIn(want, front.call(path="/scope", headers=[["host", host]])[1].decode())
            self.assertEqual(front.call(path="/go"), ({"kind": "result", "id": 8, "status": 204, "headers": []}, b""))
            front.send(1, path="/trailers")
            self.assertEqual(front.receive(1), ({"kind": "result", "id": 9, "status": 200, "headers": [], "more": True}, b"x"))
            self.assertEqual(front.receive(1), ({"kind": "end", "id": 9, "trailers": [["x-sum", "1"]]}, b""))
            self.assertEqual(front.call(path="/disconnect")[0]["status"], 200)
            self.assertEqual(front.call(path="/seen")[1], b"http.request,http.disconnect")

    def test_streams(self):
        with Front(ASGI, slots=2) as front:
            front.ready()
            front.send(1, path="/stream")
            self.assertEqual(front.receive(1)[1], b"first")
            self.assertTrue(front.idle(1, 0.1))
            front.call(slot=2, path="/go")
            self.assertEqual([front.receive(1)[1], front.receive(1)[1]], [b"second", b""])
            # Both directions at once.
            front.send(1, body=b"a", path="/echo", more=True)
            self.assertEqual(front.receive(1)[1], b"a")
            for piece in b"b", b"c":
                front.connections[1].send(None, piece)
                self.assertEqual(front.receive(1), (None, piece))
            front.connections[1].send(None)
            self.assertEqual(front.receive(1), (None, b""))

    def test_errors(self):
        with Front(ASGI, slots=2) as front:
            front.ready()
            for path, kind, message in (("/nothing", "InvalidReply", "the application returned without a response"), ("/error", "ValueError", "no"),
                                        ("/bad", "InvalidReply", "the handler returned a value with a line break or NUL for the header x")):
                header, _ = front.call(path=path)
                self.assertEqual((header["kind"], header["type"], header["message"]), ("error", kind, message))
            for path, message in ("/unfinished", "the application returned before the end of its response"), ("/fails", "no"):
                header, body = front.call(path=path)
                self.assertEqual((header["kind"], body, header["tail"]["kind"], header["tail"]["message"]), ("result", b"x", "error", message))
            self.assertEqual(front.call(path="/go")[0]["status"], 204)

    def test_disconnects(self):
        with Front(ASGI, slots=2) as front:
            front.ready()
            number = front.send(1, path="/wait")
            front.line(message="waits")
            front.cancel(1, number, "disconnect")
            self.assertEqual(front.receive(1)[0]["kind"], "error")  # nothing more is sent to a client that has left
            number = front.send(1, path="/endless")
            front.receive(1)
            front.cancel(1, number, "disconnect")
            while True:
                header, body = front.receive(1)
                if header is not None or not body:
                    break
            self.assertEqual(front.call(path="/seen")[1], b"http.request,http.disconnect,closed")
            self.assertNotIn("ERROR", front.text())

    def test_lifespan(self):
        with Front(ASGI, slots=2) as front:
            front.ready()
            front.send(1, path="/stream")
            front.receive(1)
            front.control.send({"kind": "drain", "timeout": 1000})
            front.call(slot=2, path="/scope", body=b"")
            self.assertNotIn("lifespan.shutdown", front.text())
            front.call(slot=2, path="/go")
            front.line(message="lifespan.shutdown")
            self.assertEqual(front.stop(), 0)
        fails = "async def handler(scope, receive, send):\n    await receive()\n    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n"
        with Front(fails, slots=2) as front:
            self.assertEqual(front.control.receive()[0], {"kind": "failed", "message": "the application did not start: no database"})
            self.assertEqual(front.stop(), 1)
        without = "async def handler(scope, receive, send):\n    assert scope['type'] == 'http'\n    await send({'type': 'http.response.start', 'status': 200})\n" \
            "    await send({'type': 'http.response.body', 'body': b'ok'})\n"
        with Front(without, slots=2) as front:
            front.ready()
            self.assertEqual(front.call()[1], b"ok")
            self.assertEqual(front.stop(), 0)

    def test_the_timeout_cancels_the_task(self):
        code = "import asyncio\nasync def handler(scope, receive, send):\n    print('begins')\n    await asyncio.sleep(30)\n"
        with Front(code.replace("    print", "    assert scope['type'] == 'http'\n    print"), slots=2) as front:
            front.ready()
            number = front.send(1)
            front.line(message="begins")
            front.cancel(1, number, "timeout")
            self.assertEqual(front.receive(1)[0]["type"], "Cancelled")


if __name__ == "__main__":
    unittest.main()
