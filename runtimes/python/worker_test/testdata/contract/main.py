"""Returns what the vectors of runtime/contract say, by the request's path."""

from knative_lambda import CloudEvent, HTTPError, Response


class ExampleError(Exception):
    pass


class PermanentExampleError(Exception):
    permanent = True


PermanentExampleError.__name__ = "ExampleError"


def items(*values):
    for value in values:
        if isinstance(value, Exception):
            raise value
        yield value


async def async_items(*values):
    for value in items(*values):
        yield value


def fail(error):
    raise error


def vectors(stream):
    return {
        "none": lambda: None,
        "value": lambda: {"a": 1},
        "text": lambda: "a text",
        "number": lambda: 1.5,
        "false": lambda: False,
        "bytes": lambda: b"\x00\x01",
        "event": lambda: CloudEvent("io.example.reply", {"a": 1}, count=3),
        "response": lambda: Response({"ok": True}, 201, [("X-A", "1"), ("X-A", "2")], ["a=1", "b=2; HttpOnly"]),
        "redirect": lambda: Response(status=302, headers={"Location": "/there"}),
        "conflict": lambda: Response({"why": "there is one"}, 409),
        "busy": lambda: Response([], 503, {"Retry-After": "7"}),
        "aws": lambda: {"statusCode": 418, "headers": {"x-a": "1", "content-type": "text/plain"}, "cookies": ["a=1"], "body": "dGVh", "isBase64Encoded": True},
        "not-aws": lambda: {"statusCode": 418, "other": 1},
        "stream-bytes": lambda: stream(b"a", b"b"),
        "stream-text": lambda: stream("a", "b"),
        "stream-values": lambda: stream({"a": 1}, {"a": 2}),
        "stream-fails": lambda: stream("a", ExampleError("it failed")),
        "error": lambda: fail(ExampleError("it failed")),
        "permanent": lambda: fail(PermanentExampleError("it failed")),
        "http-error": lambda: fail(HTTPError(405, "GET only", {"Allow": "GET"})),
        "bad-status": lambda: Response(status=99),
        "bad-header": lambda: Response(headers={"X-A": "a\nb"}),
        "unserialisable": lambda: {"o": object()},
        "head": lambda: "a text",
        "no-content": lambda: Response("x", 204),
        "not-modified": lambda: Response("x", 304, {"ETag": '"1"'}),
    }


SYNC, ASYNC = vectors(items), vectors(async_items)


def called(event, context):
    return {"echo": lambda: event, "context": lambda: {"method": context.method, "path": context.path}}


def handler(event, context):
    return {**SYNC, **called(event, context)}[context.path[1:]]()


async def async_handler(event, context):
    return {**ASYNC, **called(event, context)}[context.path[1:]]()
