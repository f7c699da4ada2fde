"""What handlers return and raise."""

from __future__ import annotations

import json

TYPE_CHECKING = False  # typing is not imported: cold starts count
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Optional, TypeVar, Union

    Headers = Union[Mapping[str, Union[str, list[str]]], Iterable[tuple[str, str]], None]
    Handler = TypeVar("Handler", bound=Callable[..., Any])


class PermanentError(Exception):
    """An error that no retry resolves: the reply is 422, and the event becomes a dead
    letter. Any exception with an attribute permanent = True is one too."""

    permanent = True


class HTTPError(Exception):
    """An error with the status and the headers of its reply.

    raise HTTPError(405, "POST only", headers={"Allow": "POST"})
    """

    def __init__(self, status: int, message: str = "", headers: Headers = None) -> None:
        if not isinstance(status, int) or not 400 <= status <= 599:
            raise ValueError("the status of an HTTPError is %r, expected 400 to 599" % (status,))
        super().__init__(message or "HTTP status %d" % status)
        self.status = status
        self.headers = pairs(headers)


class CloudEvent:
    """A CloudEvent for a handler to return, with extensions as keyword arguments.

    What is left out (id, source, time) is filled in. The data is encoded as what
    a handler returns otherwise.
    """

    def __init__(self, type: str, data: Any = None, **attributes: Any) -> None:
        self.type = type
        self.data = data
        self.attributes = attributes


class Response:
    """An HTTP reply.

    The body is bytes, text, a value to be encoded as JSON, or an iterator or
    asynchronous iterator of pieces that are sent as they are produced. headers are
    pairs, or a mapping to texts or lists of texts; cookies are values of Set-Cookie.
    """

    def __init__(self, body: Any = None, status: int = 200, headers: Headers = None, cookies: Iterable[str] = (),
                 content_type: Optional[str] = None) -> None:
        self.body = body
        self.status = status
        self.headers = pairs(headers)
        self.cookies = [cookies] if isinstance(cookies, str) else list(cookies)
        self.content_type = content_type


class ServerSentEvent(str):
    """The text of one server-sent event. A stream that begins with one has the content
    type text/event-stream."""

    __slots__ = ()


def sse(data: Any = "", event: Optional[str] = None, id: Optional[str] = None, retry: Optional[int] = None) -> ServerSentEvent:
    """Make a server-sent event, for a generator to yield. Data that is not text is
    encoded as JSON; retry is in milliseconds."""
    lines = []
    for name, value in (("event", event), ("id", id), ("retry", retry)):
        if value is not None:
            text = str(value)
            if "\n" in text or "\r" in text or "\0" in text:
                raise ValueError("the %s of a server-sent event is %r, expected one line" % (name, text))
            lines.append("%s: %s\n" % (name, text))
    text = data if isinstance(data, str) else json.dumps(data, allow_nan=False)
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        lines.append("data: %s\n" % line)
    return ServerSentEvent("".join(lines) + "\n")


def request_stream(handler: Handler) -> Handler:
    """Mark a handler that reads request bodies as they arrive, from
    context.request.stream: there is no limit to their length, and event is None.
    CloudEvents and forms are still read as a whole."""
    handler.request_stream = True  # type: ignore[attr-defined]
    return handler


def pairs(headers: Headers) -> list[tuple[str, str]]:
    """Return headers as a list of pairs."""
    found: list[tuple[str, str]] = []
    for name, value in headers.items() if hasattr(headers, "items") else headers or ():  # type: ignore[union-attr]
        found.extend((name, v) for v in (value if isinstance(value, (list, tuple)) else (value,)))
    return found
