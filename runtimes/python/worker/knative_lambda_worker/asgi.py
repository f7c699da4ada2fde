"""ASGI applications, version 3.0 of the specification, with lifespan."""

import asyncio
import logging
import urllib.parse

from knative_lambda_worker import errors, frames, logs, web
from knative_lambda_worker.errors import Disconnected, Failure, InvalidReply

_VERSION = {"version": "3.0", "spec_version": "2.4"}


class Application:
    """Answers calls by an ASGI application."""

    interface = "asgi"
    request_stream = True

    def __init__(self, application):
        self._application = application
        self._state = {}
        self._lifespan = None
        self._connections = {}

    async def answer(self, call, answer):
        connection = self._connections[call.id, id(call)] = _Connection(call, answer)
        try:
            await self._application(_scope(call, self._state), connection.receive, connection.send)
            await connection.finish()
        except Disconnected:
            if not call.context.cancelled:
                raise
            await connection.finish()
        finally:
            del self._connections[call.id, id(call)]

    def disconnect(self, call):
        """Let the application know that the client has left."""
        connection = self._connections.get((call.id, id(call)))
        if connection is not None:
            connection.disconnected.set()

    async def startup(self):
        self._lifespan = _Lifespan(self._application, self._state)
        await self._lifespan.startup()

    async def shutdown(self):
        lifespan, self._lifespan = self._lifespan, None
        if lifespan is not None:
            await lifespan.shutdown()


class _Lifespan:
    """The application's own start and end. It may not have them: an exception says so."""

    def __init__(self, application, state):
        self._events = asyncio.Queue()
        self._started = asyncio.get_running_loop().create_future()
        self._stopped = asyncio.get_running_loop().create_future()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
        self._task = asyncio.ensure_future(application(scope, self._events.get, self._send))

    async def startup(self):
        await self._events.put({"type": "lifespan.startup"})
        await asyncio.wait({self._task, self._started}, return_when=asyncio.FIRST_COMPLETED)
        if self._started.done():
            message = self._started.result()
            if message is not None:
                raise Failure("the application did not start: %s" % (message or "it sent lifespan.startup.failed"))
        elif not self._task.cancelled() and self._task.exception() is not None:
            logs.report(logging.DEBUG, "The application does not support lifespan: %s" % errors.describe(self._task.exception()))

    async def shutdown(self):
        if self._task.done():
            return
        await self._events.put({"type": "lifespan.shutdown"})
        await asyncio.wait({self._task, self._stopped}, return_when=asyncio.FIRST_COMPLETED)
        if self._stopped.done() and self._stopped.result() is not None:
            logs.report(logging.ERROR, "The application did not stop: %s" % self._stopped.result())
        elif self._task.done() and not self._task.cancelled() and self._task.exception() is not None:
            logs.report(logging.ERROR, "The application did not stop: %s" % errors.describe(self._task.exception()))

    async def _send(self, message):
        kind = message["type"]
        future = self._started if kind.startswith("lifespan.startup.") else self._stopped
        if not future.done():
            future.set_result(message.get("message", "") if kind.endswith(".failed") else None)


class _Connection:
    """What one request's receive and send do."""

    def __init__(self, call, answer):
        self._call = call
        self._answer = answer
        self._received = False  # the whole body
        self._start = None
        self._ended = False  # the body of the response
        self._trailers = False  # follow the body
        self.disconnected = asyncio.Event()

    async def receive(self):
        if not self._received:
            return await self._body()
        await self.disconnected.wait()
        return {"type": "http.disconnect"}

    async def _body(self):
        chunks = self._call.chunks
        if chunks is None:
            self._received = True
            return {"type": "http.request", "body": self._call.body, "more_body": False}
        try:
            piece = await chunks.__anext__()
        except StopAsyncIteration:
            self._received = True
            return {"type": "http.request", "body": b"", "more_body": False}
        except Disconnected:
            self._received = True
            self.disconnected.set()
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(self, message):
        if self._call.context.cancelled:
            raise Disconnected("the client has closed the connection")
        kind = message["type"]
        if kind == "http.response.start" and self._start is None:
            self._start = web.fields(message["status"], message.get("headers", ()))
            self._trailers = message.get("trailers", False)
        elif kind == "http.response.body" and self._start is not None and not self._ended:
            await self._send_body(message.get("body", b""), message.get("more_body", False) or self._trailers)
        elif kind == "http.response.trailers" and self._trailers and self._call.answered:
            if not message.get("more_trailers", False):
                self._end()
                await self._answer.end([list(pair) for pair in web.pairs(message.get("headers", ()))])
        else:
            raise RuntimeError("unexpected ASGI message %r" % kind)

    def _end(self):
        self._ended = True
        self.disconnected.set()  # after the response receive has nothing else to say

    async def _send_body(self, body, more):
        body = bytes(body)
        if not more:
            self._end()
        if not self._call.answered:
            first = body[:frames.MAX_CHUNK] if more else body
            await self._answer.result(self._start, first, more)
            body = body[len(first):]
            if not more:
                return
        await self._answer.chunk(body)
        if not more:
            await self._answer.end()

    async def finish(self):
        """Complete the response of an application that has returned."""
        if self._ended:
            return
        if self._call.context.cancelled:
            raise asyncio.CancelledError
        if self._call.answered:
            raise InvalidReply("the application returned before the end of its response")
        raise InvalidReply("the application returned without a response")


def _scope(call, state):
    header = call.header
    headers = web.headers(header)
    host, port, scheme = web.server(headers)
    path = header.get("path", "/")
    return {"type": "http", "asgi": _VERSION, "http_version": "1.1", "method": header.get("method", "POST"), "scheme": scheme,
            "path": urllib.parse.unquote(path), "raw_path": path.encode(), "query_string": web.query(header).encode(), "root_path": "",
            "headers": [(name.encode(), value.encode("utf-8", "replace")) for name, value in headers],
            "client": web.client(headers), "server": (host, port), "state": dict(state), "extensions": {"http.response.trailers": {}}}
