"""WSGI applications."""

import unittest

from front import Front

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
                    "REMOTE_ADDR", "SERVER_PROTOCOL", "wsgi.url_scheme", "wsgi.multithread", "HTTP_X_B", "HTTP_TRACEPARENT")
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
                self.assertEqual(body.decode(), "PUT||/environ|a=1%%202|text/plain|3|1,Ã©|c=1; d=2|f.example|443||HTTP/1.1|https|%s|None|None|xyz" % (slots > 1))
                self.assertEqual(front.call(path="/closed")[1], b"1")
                self.assertIn(b"|of the call", front.call(path="/environ", body=b"", headers=[["traceparent", "of the client"]], traceparent="of the call")[1])
                self.assertEqual(front.call(path="/go"), ({"kind": "result", "id": 4, "status": 204, "headers": []}, b""))
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


if __name__ == "__main__":
    unittest.main()
