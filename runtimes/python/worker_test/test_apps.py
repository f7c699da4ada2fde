"""ASGI and WSGI applications."""

import json
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
            _, body = front.call(path="/scope", rawQuery="a&b=%2F", query=[["a", ""], ["b", "/"]], headers=[])
            self.assertIn("|b'a&b=%2F'|[]|None|('localhost', 80)|http|", body.decode())
            self.assertEqual(front.call(path="/go"), ({"kind": "result", "id": 3, "status": 204, "headers": []}, b""))
            front.send(1, path="/trailers")
            self.assertEqual(front.receive(1), ({"kind": "result", "id": 4, "status": 200, "headers": [], "more": True}, b"x"))
            self.assertEqual(front.receive(1), ({"kind": "end", "id": 4, "trailers": [["x-sum", "1"]]}, b""))
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


WSGI = """
    import threading

    go = threading.Event()
    closed = []

    class Closing:
        def __init__(self, items):
            self._items = iter(items)

        def __iter__(self):
            return self._items

        def close(self):
            closed.append(1)

    def stream():
        yield b""
        yield b"first"
        go.wait(20)
        yield b"second"

    def fails():
        yield b"x"
        raise ValueError("no")

    def handler(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/environ":
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            keys = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_X_A", "HTTP_COOKIE", "SERVER_NAME", "SERVER_PORT",
                    "REMOTE_ADDR", "SERVER_PROTOCOL", "wsgi.url_scheme", "wsgi.multithread", "HTTP_X_B")
            text = "|".join(str(environ.get(k)) for k in keys) + "|" + body.decode()
            start_response("201 Created", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Length", str(len(text.encode()))), ("X-L", "\\xc3\\xa9")])
            return Closing([text.encode()])
        if path == "/stream":
            start_response("200 OK", [])
            return Closing(stream())
        if path == "/go":
            go.set()
            start_response("204 No Content", [])
            return []
        if path == "/write":
            write = start_response("200 OK", [])
            write(b"a")
            return [b"b"]
        if path == "/closed":
            start_response("200 OK", [("Content-Length", "1")])
            return [str(len(closed)).encode()]
        if path == "/fails":
            start_response("200 OK", [])
            return Closing(fails())
        if path == "/replaces":
            start_response("200 OK", [])
            try:
                1 / 0
            except ZeroDivisionError:
                import sys
                start_response("500 Error", [], sys.exc_info())
                return [b"sorry"]
        if path == "/more":
            start_response("200 OK", [("Content-Length", "1")])
            return [b"a", b"b"]
        if path == "/bad":
            start_response("abc", [])
        return []
"""


class WSGIApplications(unittest.TestCase):
    def test_requests_and_responses(self):
        for slots in 1, 2:
            with self.subTest(slots=slots), Front(WSGI, slots=slots) as front:
                self.assertEqual(front.ready(), {"kind": "ready", "protocol": 2, "interface": "wsgi"})
                header, body = front.call(body=b"xyz", method="PUT", path="/env%69ron", query=[["a", "1 2"]], headers=[
                    ["host", "f.example"], ["content-type", "text/plain"], ["x-a", "1"], ["x-a", "é"], ["cookie", "c=1"], ["cookie", "d=2"], ["x_b", "forged"],
                    ["x-forwarded-proto", "https"]])
                self.assertEqual(header, {"kind": "result", "id": 1, "status": 201, "headers": [["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"], ["Content-Length", str(len(body))],
                                                                                               ["X-L", "é"]]})
                self.assertEqual(body.decode(), "PUT||/environ|a=1%%202|text/plain|3|1,Ã©|c=1; d=2|f.example|443||HTTP/1.1|https|%s|None|xyz" % (slots > 1))
                self.assertEqual(front.call(path="/closed")[1], b"1")
                self.assertEqual(front.call(path="/go"), ({"kind": "result", "id": 3, "status": 204, "headers": []}, b""))
                self.assertEqual(front.call(path="/write")[1], b"ab")
                header, body = front.call(path="/replaces")
                self.assertEqual((header["status"], body), (500, b"sorry"))

    def test_streams(self):
        with Front(WSGI, slots=2) as front:
            front.ready()
            front.send(1, path="/stream")
            self.assertEqual(front.receive(1)[1], b"first")
            self.assertTrue(front.idle(1, 0.1))
            front.call(slot=2, path="/go")
            self.assertEqual([front.receive(1)[1], front.receive(1)[1]], [b"second", b""])
            self.assertEqual(front.call(path="/closed")[1], b"1")

    def test_errors(self):
        with Front(WSGI, slots=2) as front:
            front.ready()
            header, body = front.call(path="/fails")
            self.assertEqual((body, header["tail"]["type"]), (b"x", "ValueError"))
            self.assertEqual(front.call(path="/closed")[1], b"1")
            for path, message in (("/nothing", "the application returned without calling start_response"), ("/bad", "the application answered with the status 'abc', expected 200 to 599")):
                header, _ = front.call(path=path)
                self.assertEqual((header["kind"], header["type"], header["message"]), ("error", "InvalidReply", message))
            self.assertEqual(front.call(path="/more")[1], b"a")
            self.assertEqual(front.call(path="/closed")[1], b"1")

    def test_bodies_that_arrive_in_pieces(self):
        code = "def handler(environ, start_response):\n    start_response('200 OK', [])\n    return [b'%d,' % len(line) for line in environ['wsgi.input']]\n"
        with Front(code, slots=2) as front:
            front.ready()
            front.send(1, body=b"ab\nc", more=True)
            front.connections[1].send(None, b"d\n")
            front.connections[1].send(None)
            self.assertEqual([front.receive(1)[1] for _ in range(3)], [b"3,", b"3,", b""])


def framework(name):
    try:
        return __import__(name)
    except ImportError:
        raise unittest.SkipTest("%s is not installed" % name) from None


class Frameworks(unittest.TestCase):
    """Applications of frameworks, unmodified."""

    def test_fastapi(self):
        framework("fastapi")
        code = """
            import asyncio
            from fastapi import BackgroundTasks, FastAPI, Request
            from fastapi.responses import StreamingResponse

            app = FastAPI()
            started = []

            @app.on_event("startup")
            async def start():
                started.append("started")

            @app.on_event("shutdown")
            async def stop():
                print("stopped")

            @app.get("/items/{number}")
            async def item(number: int, q: str = ""):
                return {"number": number, "q": q, "started": started}

            @app.get("/blocking")
            def blocking():
                return "in a thread"

            @app.post("/upload")
            async def upload(request: Request):
                return {"length": len(await request.body()), "client": request.client.host if request.client else None}

            @app.get("/stream")
            async def stream():
                async def numbers():
                    for i in range(3):
                        yield "%d\\n" % i
                return StreamingResponse(numbers(), media_type="text/plain")

            @app.get("/after")
            async def after(tasks: BackgroundTasks):
                async def work():
                    await asyncio.sleep(1)
                    print("worked")
                tasks.add_task(work)
                return "before"

            @app.get("/endless")
            async def endless():
                async def numbers():
                    try:
                        while True:
                            yield "x" * 1000
                            await asyncio.sleep(0.01)
                    finally:
                        print("closed")
                return StreamingResponse(numbers())
        """
        with Front(code, "main.app", slots=3, options=()) as front:
            self.assertEqual(front.ready()["interface"], "asgi")
            header, body = front.call(method="GET", path="/items/7", query=[["q", "é"]])
            self.assertEqual((header["status"], json.loads(body)), (200, {"number": 7, "q": "é", "started": ["started"]}))
            self.assertEqual(front.call(method="GET", path="/items/x")[0]["status"], 422)
            self.assertEqual(front.call(method="GET", path="/absent")[0]["status"], 404)
            self.assertEqual(front.call(method="GET", path="/blocking")[1], b'"in a thread"')
            self.assertEqual(json.loads(front.call(body=b"x" * 200000, path="/upload")[1]), {"length": 200000, "client": None})
            header, body = front.call(method="GET", path="/stream")
            self.assertEqual((header["more"], body), (True, b"0\n1\n2\n"))
            # Background tasks of one call do not hold up the next one.
            for _ in range(3):
                self.assertEqual(front.call(method="GET", path="/after")[1], b'"before"')
            self.assertNotIn("worked", front.text())
            front.line(message="worked")
            number = front.send(1, method="GET", path="/endless")
            front.receive(1)
            front.cancel(1, number, "disconnect")
            front.line(message="closed")
            while True:
                header, body = front.receive(1)
                if header is not None or not body:
                    break
            self.assertEqual(front.call(method="GET", path="/blocking")[1], b'"in a thread"')
            self.assertEqual(front.stop(), 0)
            front.line(message="stopped")

    def test_flask(self):
        framework("flask")
        code = """
            from flask import Flask, Response, make_response, request, session

            app = Flask(__name__)
            app.secret_key = "x"

            @app.route("/items/<int:number>", methods=["GET", "POST"])
            def item(number):
                session["seen"] = number
                return {"number": number, "args": request.args, "form": request.form, "url": request.url}

            @app.route("/stream")
            def stream():
                return Response((str(i) for i in range(3)), mimetype="text/plain")

            @app.route("/error")
            def error():
                raise ValueError("no")
        """
        with Front(code, "main.app", slots=3, options=()) as front:
            self.assertEqual(front.ready()["interface"], "wsgi")
            header, body = front.call(body=b"f=1", path="/items/7", query=[["q", "é"]],
                                      headers=[["host", "f.example"], ["content-type", "application/x-www-form-urlencoded"]])
            self.assertEqual((header["status"], header.get("more"), json.loads(body)),
                             (200, None, {"number": 7, "args": {"q": "é"}, "form": {"f": "1"}, "url": "http://f.example/items/7?q=é"}))
            self.assertTrue(any(n.lower() == "set-cookie" and v.startswith("session=") for n, v in header["headers"]))
            self.assertEqual(front.call(method="GET", path="/absent")[0]["status"], 404)
            self.assertEqual(front.call(method="GET", path="/error")[0]["status"], 500)
            self.assertIn("ValueError: no", front.text())
            header, body = front.call(method="GET", path="/stream")
            self.assertEqual((header["more"], body), (True, b"012"))

    def test_django(self):
        framework("django")
        code = """
            from django.conf import settings
            settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
            from django.core.asgi import get_asgi_application
            from django.core.wsgi import get_wsgi_application
            from django.http import JsonResponse
            from django.urls import path

            urlpatterns = [path("items/<int:number>", lambda request, number: JsonResponse({"number": number, "q": request.GET.get("q")}))]
            wsgi = get_wsgi_application()
            asgi = get_asgi_application()
        """
        for kind in "wsgi", "asgi":
            with self.subTest(kind), Front(code, "main." + kind, slots=2, options=()) as front:
                self.assertEqual(front.ready()["interface"], kind)
                header, body = front.call(method="GET", path="/items/7", query=[["q", "é"]])
                self.assertEqual((header["status"], json.loads(body)), (200, {"number": 7, "q": "é"}))


if __name__ == "__main__":
    unittest.main()
