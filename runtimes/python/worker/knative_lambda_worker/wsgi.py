"""WSGI applications (PEP 3333)."""

import io
import sys
import urllib.parse

from knative_lambda_worker import frames, web
from knative_lambda_worker.errors import InvalidReply
from knative_lambda_worker.threads import close


class Application:
    """Answers calls by a WSGI application."""

    interface = "wsgi"
    request_stream = False  # a slow upload must not occupy a thread

    def __init__(self, application, multithread):
        self._application = application
        self._multithread = multithread

    def answer(self, call, answer):
        response = _Response(call, answer)
        items = self._application(_environ(call, self._multithread), response.start)
        try:
            for data in items:
                response.write(data)
                if call.context.cancelled:
                    break
            response.end()
        finally:
            close(items)


class _Response:
    def __init__(self, call, answer):
        self._call = call
        self._answer = answer
        self._fields = None
        self._length = None  # that the application has announced
        self._complete = False

    def start(self, status, headers, exc_info=None):
        if exc_info is not None and self._call.answered:
            raise exc_info[1].with_traceback(exc_info[2])
        if exc_info is None and self._fields is not None:
            raise AssertionError("start_response was called twice without exc_info")
        code = status[:3]
        self._fields = web.fields(int(code) if code.isdigit() else status, headers)
        self._length = next((int(v) for n, v in headers if n.lower() == "content-length" and v.isdigit()), None)
        return self.write

    def write(self, data):
        """Send data at once. The first data goes with the header, and in the same frame
        if it is all of the body."""
        if not data:
            return
        if self._fields is None:
            raise InvalidReply("the application returned a body before it called start_response")
        if self._complete:
            raise InvalidReply("the application returned more than the %d bytes of its Content-Length" % self._length)
        if self._call.answered:
            self._answer.chunk(data)
            return
        self._complete = len(data) == self._length
        if self._complete:
            self._answer.result(self._fields, data)
        else:
            self._answer.result(self._fields, data[:frames.MAX_CHUNK], more=True)
            self._answer.chunk(data[frames.MAX_CHUNK:])

    def end(self):
        if self._complete:
            return
        if self._call.answered:
            self._answer.end()
        elif self._fields is None:
            raise InvalidReply("the application returned without calling start_response")
        else:
            self._answer.result(self._fields)


class _Input(io.RawIOBase):
    """A request's body that arrives in pieces, as a file."""

    def __init__(self, chunks):
        self._chunks = chunks
        self._rest = b""

    def readable(self):
        return True

    def readinto(self, buffer):
        if not self._rest:
            self._rest = next(self._chunks, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _environ(call, multithread):
    header = call.header
    headers = web.headers(header)
    host, port, scheme = web.server(headers)
    body = io.BytesIO(call.body) if call.chunks is None else io.BufferedReader(_Input(call.chunks))
    environ = {"REQUEST_METHOD": header.get("method", "POST"), "SCRIPT_NAME": "", "PATH_INFO": _latin1(urllib.parse.unquote_to_bytes(header.get("path", "/"))),
               "QUERY_STRING": web.query(header), "SERVER_NAME": host, "SERVER_PORT": str(port), "SERVER_PROTOCOL": "HTTP/1.1",
               "REMOTE_ADDR": (web.client(headers) or ("",))[0], "wsgi.version": (1, 0), "wsgi.url_scheme": scheme, "wsgi.input": body,
               "wsgi.input_terminated": True, "wsgi.errors": sys.stderr, "wsgi.multithread": multithread, "wsgi.multiprocess": True,
               "wsgi.run_once": False}
    for name, value in headers:
        key, value = name.upper().replace("-", "_"), _latin1(value.encode("utf-8", "replace"))
        if "_" in name:
            continue  # it would be taken for another header
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        if key in environ:
            value = environ[key] + ("; " if key == "HTTP_COOKIE" else ",") + value
        environ[key] = value
    if call.chunks is None:
        environ["CONTENT_LENGTH"] = str(len(call.body))
    return environ


def _latin1(data):
    return data.decode("latin-1")
