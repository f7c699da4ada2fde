"""For unit tests of handlers.

    def test_greets():
        assert handler({"name": "Ada"}, fake_context()) == "Hello Ada"
"""

from __future__ import annotations

import json
import logging

from knative_lambda._context import Context, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Optional, Union

    Many = Union[Mapping[str, str], Iterable[tuple[str, str]], None]


def fake_context(event: Optional[Mapping[str, Any]] = None, *, method: str = "POST", path: str = "/", query: Many = None, headers: Many = None,
                 body: Any = None, timeout: float = 295, name: str = "function", namespace: str = "default") -> Context:
    """Return a Context as a handler gets it.

    event are attributes of a CloudEvent, which complete those of a test event; without
    them the request is a plain one. The body of the request is bytes or text, or a
    value that is encoded as JSON. timeout is in seconds. cancelled and stopping of the
    Context become true by set().
    """
    from knative_lambda._reply import pairs
    header: dict[str, Any] = {"method": method, "path": path, "query": pairs(query), "headers": [(n.lower(), v) for n, v in pairs(headers)],
                              "timeout": timeout * 1000}
    if event is not None:
        header["event"] = {"specversion": "1.0", "id": "test", "source": "/test", "type": "test", **event}
    if not isinstance(body, bytes):
        body = b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
    return Context(header, Request(header, body), logging.getLogger("function"), (name, namespace))
