"""What handlers get."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

TYPE_CHECKING = False  # typing is not imported: cold starts count
if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator
    from typing import Any, Optional

_ATTRIBUTES = frozenset(("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"))


class Flag:
    """Becomes true once, and can be waited for: while not context.cancelled: …"""

    __slots__ = ("_set", "_event")

    def __init__(self) -> None:
        self._set = False
        self._event: Optional[threading.Event] = None  # few handlers wait

    def __bool__(self) -> bool:
        return self._set

    def __repr__(self) -> str:
        return "Flag(%s)" % self._set

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Wait until it is true, or for timeout seconds, and return whether it is. In
        async code: await asyncio.to_thread(flag.wait)."""
        with _waiting:
            if self._event is None:
                self._event = threading.Event()
        if self._set:
            return True
        return self._event.wait(timeout) or self._set

    def set(self) -> None:
        self._set = True  # before _event is read, as wait looks at them in the other order
        if self._event is not None:
            self._event.set()


_waiting = threading.Lock()


class Pairs(Mapping):
    """Names with values, of which some occur several times, as in a query. Indexing
    returns the first value."""

    __slots__ = ("pairs", "_first")

    def __init__(self, pairs: Iterable[Iterable[str]] = ()) -> None:
        self.pairs = [(name, value) for name, value in pairs]
        self._first: Optional[dict[str, str]] = None

    def _key(self, name: str) -> str:
        return name

    def _index(self) -> dict[str, str]:
        if self._first is None:
            first: dict[str, str] = {}
            for name, value in self.pairs:
                first.setdefault(self._key(name), value)
            self._first = first
        return self._first

    def __getitem__(self, name: str) -> str:
        return self._index()[self._key(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._index())

    def __len__(self) -> int:
        return len(self._index())

    def __repr__(self) -> str:
        return "%s(%r)" % (type(self).__name__, self.pairs)

    def get_all(self, name: str) -> list[str]:
        """Return all values of a name, in their order."""
        key = self._key(name)
        return [value for other, value in self.pairs if self._key(other) == key]


class Headers(Pairs):
    """Headers, whose names are looked up in any case."""

    __slots__ = ()

    def _key(self, name: str) -> str:
        return name.lower()


class File:
    """A file of a form of type multipart/form-data."""

    __slots__ = ("name", "filename", "content_type", "content")

    def __init__(self, name: str, filename: str, content_type: Optional[str], content: bytes) -> None:
        self.name = name
        self.filename = filename
        self.content_type = content_type
        self.content = content

    def __repr__(self) -> str:
        return "File(%r, %r, %r, %d bytes)" % (self.name, self.filename, self.content_type, len(self.content))


class Request:
    """The HTTP request of a call."""

    __slots__ = ("method", "path", "body", "stream", "_header", "_query", "_headers")

    def __init__(self, header: dict[str, Any], body: Optional[bytes], stream: Any = None) -> None:
        self.method: str = header.get("method", "POST")
        self.path: str = header.get("path", "/")  # as sent (percent-encoded), without the query
        self.body = body  # as received; None while it is still arriving: read stream
        # The pieces of the body: an iterator, or an asynchronous one for async handlers.
        self.stream = iter([body] if body else []) if stream is None else stream
        self._header = header
        self._query: Optional[Pairs] = None
        self._headers: Optional[Headers] = None

    @property
    def query(self) -> Pairs:
        """The parameters of the query, decoded."""
        if self._query is None:
            self._query = Pairs(self._header.get("query") or ())
        return self._query

    @property
    def headers(self) -> Headers:
        """The headers, whose names are looked up in any case."""
        if self._headers is None:
            self._headers = Headers(self._header.get("headers") or ())
        return self._headers

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that the client sent."""
        found: dict[str, str] = {}
        for line in self.headers.get_all("cookie"):
            for part in line.split(";"):
                name, equals, value = part.strip().partition("=")
                if equals:
                    found.setdefault(name.strip(), value.strip().strip('"'))
        return found


class Context:
    """What a handler gets besides the event's data.

    Attributes of the CloudEvent are None when the request was none.
    """

    __slots__ = ("id", "type", "source", "subject", "time", "attributes", "request", "traceparent", "tracestate", "logger",
                 "function_name", "function_namespace", "cancelled", "stopping", "_headers", "_deadline")

    def __init__(self, header: dict[str, Any], request: Request, logger: logging.Logger, names: tuple[Optional[str], Optional[str]] = (None, None),
                 stopping: Optional[Flag] = None) -> None:
        event: dict[str, Any] = header.get("event") or {}
        self.id: Optional[str] = event.get("id")
        self.type: Optional[str] = event.get("type")
        self.source: Optional[str] = event.get("source")
        self.subject: Optional[str] = event.get("subject")
        self.time: Optional[str] = event.get("time")
        self.attributes = event  # all of them, extensions too
        self.request = request
        self.traceparent: Optional[str] = header.get("traceparent")
        self.tracestate: Optional[str] = header.get("tracestate")
        self.logger = logger
        self.function_name, self.function_namespace = names
        self.cancelled = Flag()  # the answer is no longer awaited: the timeout is over, or the client has left
        self.stopping = Flag() if stopping is None else stopping  # the pod stops: streams without an end should end
        self._headers: Optional[dict[str, str]] = None
        self._deadline = time.monotonic() + header.get("timeout", 0) / 1000

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers by name in lower case, those of one name joined."""
        if self._headers is None:
            headers: dict[str, str] = {}
            for name, value in self.request.headers.pairs:
                headers[name] = (headers[name] + ("; " if name == "cookie" else ", ") + value) if name in headers else value
            self._headers = headers
        return self._headers

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def path(self) -> str:
        return self.request.path

    @property
    def extensions(self) -> dict[str, Any]:
        """The CloudEvent's extension attributes."""
        return {k: v for k, v in self.attributes.items() if k not in _ATTRIBUTES}

    @property
    def trace_id(self) -> Optional[str]:
        """The trace's id, as W3C Trace Context has it, or None."""
        parts = (self.traceparent or "").split("-")
        return parts[1] if len(parts) >= 4 else None

    @property
    def span_id(self) -> Optional[str]:
        """The id of the call's span, as W3C Trace Context has it, or None."""
        parts = (self.traceparent or "").split("-")
        return parts[2] if len(parts) >= 4 else None

    def remaining_time(self) -> float:
        """Seconds until the call reaches its timeout."""
        return max(0.0, self._deadline - time.monotonic())
