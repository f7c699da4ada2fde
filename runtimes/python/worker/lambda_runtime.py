"""What a function may import from its runtime."""

import time

_ATTRIBUTES = frozenset(("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"))


class PermanentError(Exception):
    """An error that comes again with each retry, so that the event is not sent
    again. Any exception with an attribute permanent = True is one too."""

    permanent = True


class CloudEvent:
    """A CloudEvent for a handler to return, with extensions as keyword arguments.

    What is left out (id, source, time) is filled in. The data is encoded as what
    a handler returns otherwise.
    """

    def __init__(self, type, data=None, **attributes):
        self.type = type
        self.data = data
        self.attributes = attributes


class Context:
    """What a handler is told besides the event's data.

    Attributes of the CloudEvent are None when the request was none.
    """

    __slots__ = ("id", "type", "source", "subject", "time", "attributes", "headers", "method", "path", "traceparent",
                 "logger", "function_name", "function_namespace", "_deadline")

    def __init__(self, header, logger, function_name=None, function_namespace=None):
        event = header.get("event") or {}
        self.id = event.get("id")
        self.type = event.get("type")
        self.source = event.get("source")
        self.subject = event.get("subject")
        self.time = event.get("time")
        self.attributes = event  # all of them, extensions too
        self.headers = header.get("headers") or {}  # names in lower case
        self.method = header.get("method")
        self.path = header.get("path")  # with the query
        self.traceparent = header.get("traceparent")
        self.logger = logger
        self.function_name = function_name
        self.function_namespace = function_namespace
        self._deadline = time.monotonic() + header.get("timeout", 0) / 1000

    @property
    def extensions(self):
        """The CloudEvent's extension attributes."""
        return {k: v for k, v in self.attributes.items() if k not in _ATTRIBUTES}

    @property
    def trace_id(self):
        """The trace's id, as W3C Trace Context has it, or None."""
        parts = (self.traceparent or "").split("-")
        return parts[1] if len(parts) >= 4 else None

    @property
    def span_id(self):
        """The id of the invocation's span, as W3C Trace Context has it, or None."""
        parts = (self.traceparent or "").split("-")
        return parts[2] if len(parts) >= 4 else None

    def remaining_time(self):
        """Seconds until the invocation is cut off."""
        return max(0.0, self._deadline - time.monotonic())
