"""What applications of all interfaces share: requests and replies as they are sent."""

import urllib.parse

from knative_lambda_worker import encoding
from knative_lambda_worker.errors import InvalidReply


def fields(status, headers):
    """The fields of a reply whose header an application has written. Its headers are
    bytes, or text in latin-1."""
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise InvalidReply("the application answered with the status %r, expected 200 to 599" % (status,))
    found = {"status": status, "headers": encoding.check_headers(pairs(headers))}
    encoding.check_size({"headers": [h for h in found["headers"] if h[0].lower() not in ("content-length", "date")]})
    return found


def pairs(headers):
    return [(_native(name), _native(value)) for name, value in headers]


def _native(data):
    if isinstance(data, str):
        data = data.encode("latin-1", "replace")
    try:
        return bytes(data).decode()
    except UnicodeDecodeError:
        return bytes(data).decode("latin-1")


def headers(header):
    """The request's headers, in which the call's trace takes the place of the client's."""
    trace = {name: header[name] for name in ("traceparent", "tracestate") if name in header}
    return [(name, value) for name, value in header.get("headers") or () if name not in trace] + list(trace.items())


def client(headers):
    """The client's address and port, as the proxies in front of the function name it."""
    forwarded = next((value for name, value in headers if name == "x-forwarded-for"), "")
    address = forwarded.partition(",")[0].strip()
    return (address, 0) if address else None


def query(header):
    """The query, as sent where the runtime says so."""
    if "rawQuery" in header:
        return header["rawQuery"]
    return urllib.parse.urlencode([tuple(pair) for pair in header.get("query") or ()], quote_via=urllib.parse.quote)


def server(headers):
    """The host and port that the client used, and the scheme."""
    found = dict(reversed(headers))  # the first of each name
    scheme = found.get("x-forwarded-proto", "http").partition(",")[0].strip().lower() or "http"
    try:
        parts = urllib.parse.urlsplit("//" + found.get("host", ""))
        host, port = parts.hostname, parts.port
    except ValueError:  # the client's header is no host
        host = port = None
    return host or "localhost", port or (443 if scheme == "https" else 80), scheme
