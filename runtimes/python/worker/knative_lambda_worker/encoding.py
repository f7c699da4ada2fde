"""Encodes what handlers return."""

import json
import re

from knative_lambda import CloudEvent, Response, ServerSentEvent
from knative_lambda_worker.errors import InvalidReply

JSON = "application/json"
BYTES = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"
EVENT_STREAM = "text/event-stream"

MAX_HEADERS = 56 << 10  # bytes of names and values of a reply's headers
MAX_LINES = 90

_to_json = json.JSONEncoder(allow_nan=False).encode  # json.dumps would make an encoder for each call
_to_line = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_name = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_bad_value = re.compile(r"[\0\r\n]")
_proxy_keys = frozenset(("statusCode", "statusDescription", "headers", "multiValueHeaders", "body", "isBase64Encoded", "cookies"))
_texts = ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "specversion")


class Reply:
    """What is sent for a returned value: the header's fields and either a body or
    items, an iterator or asynchronous iterator that is sent piece by piece."""

    __slots__ = ("fields", "body", "items")

    def __init__(self, fields, body=b"", items=None):
        self.fields = fields
        self.body = body
        self.items = items


def encode(value, to_event=False):
    """Encode what a handler returned, to a plain request or to an event."""
    if value is None:
        return Reply({})
    if isinstance(value, Response):
        return _encode_response(value)
    if isinstance(value, CloudEvent):
        return _encode_event(dict(value.attributes, specversion="1.0", type=value.type), value.data)
    if isinstance(value, dict):
        if "specversion" in value and "type" in value:
            return _encode_event_dict(value)
        if not to_event and "statusCode" in value and _is_proxy(value):
            return _encode_response(_proxy_response(value))
    if is_stream(value):
        return Reply({"status": 200}, items=pieces(value))
    return Reply(*_encode_data(value))


def is_stream(value):
    """Whether a value is sent piece by piece. Lists and the like are values."""
    return hasattr(value, "__next__") or hasattr(value, "__aiter__") or (hasattr(value, "read") and hasattr(value, "close"))


def pieces(value):
    """Return the iterator of a stream: files are read by size, not by line."""
    if hasattr(value, "__aiter__"):
        return value.__aiter__()
    if hasattr(value, "read"):
        return _read(value)
    return iter(value)


def _read(file):
    try:
        while True:
            piece = file.read(65536)
            if not piece:
                return
            yield piece
    finally:
        file.close()


def _encode_data(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"contentType": BYTES}, bytes(value)
    return {"contentType": JSON}, _json(value, _to_json)


def _json(value, to_json):
    try:
        return to_json(value).encode()
    except (TypeError, ValueError, RecursionError) as e:
        raise InvalidReply("the handler returned a value of type %s that cannot be written as JSON: %s" % (type(value).__name__, e)) from None


class Items:
    """Encodes the items of a stream. The first one decides how."""

    def __init__(self):
        self.content_type = None

    def encode(self, item):
        if self.content_type is None:
            self.content_type = (BYTES if isinstance(item, (bytes, bytearray, memoryview)) else EVENT_STREAM if isinstance(item, ServerSentEvent)
                                 else TEXT if isinstance(item, str) else "application/x-ndjson")
        if self.content_type == "application/x-ndjson":
            return _json(item, _to_line) + b"\n" if not isinstance(item, (bytes, bytearray, memoryview)) else self._refuse(item)
        if isinstance(item, str):
            return item.encode("utf-8", "backslashreplace")
        return bytes(item) if isinstance(item, (bytes, bytearray, memoryview)) else self._refuse(item)

    def _refuse(self, item):
        raise InvalidReply("the handler's stream of %s has an item of type %s" % (self.content_type.partition(";")[0], type(item).__name__))


def stream_fields(fields, content_type):
    """Complete the fields of a stream's reply, whose first item has that content type."""
    if content_type and "contentType" not in fields and not has_header(fields, "content-type"):
        fields["contentType"] = content_type
        if content_type == EVENT_STREAM and not has_header(fields, "cache-control"):
            fields["headers"] = fields.get("headers", []) + [["cache-control", "no-cache"]]
    return fields


def has_header(fields, name):
    return any(n.lower() == name for n, _ in fields.get("headers", ()))


def _encode_response(response):
    if not isinstance(response.status, int) or isinstance(response.status, bool) or not 200 <= response.status <= 599:
        raise InvalidReply("the handler returned a Response with the status %r, expected 200 to 599" % (response.status,))
    fields = {"status": response.status}
    if response.headers:
        fields["headers"] = check_headers(response.headers)
    if response.cookies:
        fields["cookies"] = [value for _, value in check_headers([("set-cookie", c) for c in response.cookies])]
    if response.content_type:
        fields["contentType"] = check_headers([("content-type", response.content_type)])[0][1]
        fields["headers"] = [h for h in fields.get("headers", ()) if h[0].lower() != "content-type"]
    check_size(fields)
    body = response.body
    if body is None:
        return Reply(fields)
    if is_stream(body):
        return Reply(fields, items=pieces(body))
    if isinstance(body, str):
        found, data = {"contentType": TEXT}, body.encode("utf-8", "backslashreplace")
    else:
        found, data = _encode_data(body)
    if not has_header(fields, "content-type"):
        fields.setdefault("contentType", found["contentType"])
    return Reply(fields, data)


def check_headers(pairs):
    """Return headers as lists of two texts; what HTTP has no place for is refused."""
    checked = []
    for name, value in pairs:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(name, str) or not _name.fullmatch(name):
            raise InvalidReply("the handler returned a header with the name %.100r, expected letters, digits and hyphens" % (name,))
        if not isinstance(value, str):
            raise InvalidReply("the handler returned a value of type %s for the header %s, expected text" % (type(value).__name__, name))
        if _bad_value.search(value):
            raise InvalidReply("the handler returned a value with a line break or NUL for the header %s" % name)
        checked.append([name, value])
    return checked


def check_size(fields):
    """Refuse headers that proxies in front of the function would refuse."""
    headers = fields.get("headers", []) + [["set-cookie", c] for c in fields.get("cookies", ())]
    size = sum(len(n) + len(v.encode("utf-8", "replace")) for n, v in headers)
    if len(headers) > MAX_LINES or size > MAX_HEADERS:
        raise InvalidReply("the handler returned %d headers of %d bytes, expected at most %d of %d bytes together" % (len(headers), size, MAX_LINES, MAX_HEADERS))


def _is_proxy(value):
    """Whether a value has the shape that AWS Lambda answers HTTP with, and nothing else."""
    status = value["statusCode"]
    return isinstance(status, int) and not isinstance(status, bool) and _proxy_keys.issuperset(value)


def _proxy_response(value):
    body, headers = value.get("body"), list((value.get("headers") or {}).items())
    for name, values in (value.get("multiValueHeaders") or {}).items():
        headers = [(n, v) for n, v in headers if n.lower() != name.lower()] + [(name, v) for v in values]
    if body is not None and not isinstance(body, str):
        raise InvalidReply("the handler returned a reply with statusCode whose body is of type %s, expected text" % type(body).__name__)
    headers = [(n, str(v).lower() if isinstance(v, bool) else v) for n, v in headers]
    content_type = None if not body or any(n.lower() == "content-type" for n, _ in headers) else JSON
    if body and value.get("isBase64Encoded"):
        import base64
        try:
            body = base64.b64decode(body, validate=True)
        except ValueError as e:
            raise InvalidReply("the handler returned a reply with isBase64Encoded whose body is not base64: %s" % e) from None
    return Response(body or None, value["statusCode"], headers, value.get("cookies") or (), content_type)


def _encode_event_dict(value):
    attributes = dict(value)
    data = attributes.pop("data", None)
    if "data_base64" in attributes:
        import base64
        try:
            data = base64.b64decode(attributes.pop("data_base64"))
        except (TypeError, ValueError) as e:
            raise InvalidReply("the handler returned a CloudEvent whose data_base64 is not base64: %s" % e) from None
    return _encode_event(attributes, data)


def _encode_event(attributes, data):
    attributes = {name: _attribute(name, value) for name, value in attributes.items() if value is not None}
    content_type = attributes.get("datacontenttype")
    if data is None:
        return Reply({"event": attributes, "contentType": content_type or ""})
    if isinstance(data, str) and content_type and not content_type.endswith("json"):
        body = data.encode()
    else:
        fields, body = _encode_data(data)
        content_type = content_type or fields["contentType"]
    return Reply({"event": attributes, "contentType": content_type}, body)


def _attribute(name, value):
    """The value of an event's attribute, whose types JSON does not have all."""
    problem = None
    if name == "time" and hasattr(value, "isoformat") and getattr(value, "tzinfo", None) is None:
        problem = "has no time zone"
    elif hasattr(value, "isoformat"):
        return value.isoformat()
    elif name in _texts and not isinstance(value, str):
        problem = "is of type %s, expected text" % type(value).__name__
    elif isinstance(value, int) and not isinstance(value, bool) and not -1 << 31 <= value < 1 << 31:
        problem = "is the number %d, expected one of 32 bits, or text" % value
    elif not isinstance(value, (str, int)):
        problem = "is of type %s, expected text, a whole number or a truth value" % type(value).__name__
    if problem:
        raise InvalidReply('the handler returned a CloudEvent that is not valid: attribute "%s": %s' % (name, problem))
    return value
