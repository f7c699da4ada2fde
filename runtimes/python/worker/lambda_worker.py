"""Calls handler(event, context), one invocation at a time.

Speaks the framed protocol of docs/worker-protocol.md on the Unix socket whose
descriptor LAMBDA_WORKER_FD names. Uses nothing but the standard library, and
imports what only some functions need when they need it: cold starts count.
"""

import json
import logging
import os
import struct
import sys

import lambda_logging
from lambda_runtime import CloudEvent, Context

_JSON_TYPE = "application/json"
_to_json = json.JSONEncoder(allow_nan=False).encode  # json.dumps would make an encoder for each call


class Failure(Exception):
    """The handler cannot be loaded; the text is for the function's author."""


class BadInput(Exception):
    """The request's body is not what its content type says."""


class InvalidReply(Exception):
    """The handler returned what cannot be sent."""


def load(handler):
    """Import <module>.<function>; what is wrong is a Failure."""
    module_name, _, name = handler.rpartition(".")
    if not module_name or not name:
        raise Failure('handler "%s" is not of the form <module>.<function>; set spec.runtime.handler' % handler)
    module = _import(module_name, handler)
    function = getattr(module, name, None)
    if function is None:
        there = sorted(k for k, v in vars(module).items() if callable(v) and getattr(v, "__module__", None) == module.__name__)
        raise Failure('handler "%s" not found: module "%s" defines %s; set spec.runtime.handler'
                      % (handler, module_name, ", ".join(there) or "no function"))
    if not callable(function):
        raise Failure('handler "%s" is a %s, not a function; set spec.runtime.handler' % (handler, type(function).__name__))
    return function


def _import(name, handler):
    try:
        __import__(name)
        return sys.modules[name]
    except SyntaxError as e:
        where = "%s, line %s" % (os.path.basename(e.filename or name), e.lineno)
        raise Failure('cannot import "%s": %s: %s (%s)' % (name, type(e).__name__, e.msg, where))
    except ModuleNotFoundError as e:
        if e.name == name or name.startswith("%s." % e.name):
            raise Failure('handler "%s" not found: the source has no module "%s"; set spec.runtime.handler' % (handler, name))
        raise Failure('cannot import "%s": %s (%s); is it among the dependencies?' % (name, e, _origin(e)))
    except BaseException as e:  # SystemExit too: an import must not end the worker without a word
        raise Failure('cannot import "%s": %s (%s)' % (name, describe(e), _origin(e)))


def _origin(error):
    """Where in the function's code the error comes from."""
    where, trace = "unknown line", error.__traceback__
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if filename != __file__ and not filename.startswith("<"):
            where = "%s, line %s" % (os.path.basename(filename), trace.tb_lineno)
        trace = trace.tb_next
    return where


def describe(error):
    """Type and text of an error, whose __str__ may be broken too."""
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be told)"
    return "%s: %s" % (type(error).__name__, text) if text else type(error).__name__


def adapt(function, handler):
    """Return function as one of (event, context), whether it takes both, the
    event, or nothing."""
    code = getattr(function, "__code__", None)
    if code is not None and code.co_argcount == 2 and not code.co_kwonlyargcount and not hasattr(function, "__self__"):
        return function  # the usual case, without importing inspect
    import inspect
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # it is built in
        return function
    for arguments in (2, 1, 0):
        try:
            signature.bind(*[None] * arguments)
        except TypeError:
            continue
        if arguments == 2:
            return function
        return (lambda event, context: function(event)) if arguments else (lambda event, context: function())
    raise Failure('handler "%s" takes %s; expected (event, context)' % (handler, signature))


_loop = None


def _await(awaitable):
    """Run what an async handler returned, always on the same event loop."""
    global _loop
    import asyncio
    if _loop is None:
        _loop = asyncio.new_event_loop()
        asyncio.set_event_loop(_loop)
    return _loop.run_until_complete(awaitable)


def decode(content_type, body):
    """Decode a body by its content type: JSON, text, or the bytes as they are."""
    if not body:
        return None
    media, _, parameters = content_type.partition(";")
    media = media.strip().lower()
    if media == _JSON_TYPE or media.endswith("+json") or not media:
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as e:
            if not media:
                return body
            raise BadInput("the body is not the JSON that its content type %s announces: %s" % (media, e))
    if media.startswith("text/") or media == "application/xml":
        charset = "utf-8"
        for parameter in parameters.split(";"):
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                charset = value.strip().strip('"')
        try:
            return body.decode(charset)
        except (UnicodeDecodeError, LookupError) as e:
            raise BadInput("the body is not the text that its content type %s announces: %s" % (content_type, e))
    return body


def encode(value):
    """Encode what a handler returned: (fields of the frame's header, body)."""
    if isinstance(value, CloudEvent):
        return _encode_event(dict(value.attributes, specversion="1.0", type=value.type), value.data)
    if isinstance(value, dict) and "specversion" in value and "type" in value:
        attributes = dict(value)
        data = attributes.pop("data", None)
        if "data_base64" in attributes:
            import base64
            try:
                data = base64.b64decode(attributes.pop("data_base64"))
            except (TypeError, ValueError) as e:
                raise InvalidReply("the handler returned a CloudEvent whose data_base64 is not base64: %s" % e) from None
        return _encode_event(attributes, data)
    return _encode_data(value)


def _encode_data(value):
    if value is None:
        return {}, b""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"contentType": "application/octet-stream"}, bytes(value)
    try:
        return {"contentType": _JSON_TYPE}, _to_json(value).encode()
    except (TypeError, ValueError, RecursionError) as e:
        raise InvalidReply("the handler returned a value of type %s that cannot be written as JSON: %s" % (type(value).__name__, e)) from None


def _encode_event(attributes, data):
    attributes = {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in attributes.items() if v is not None}
    content_type = attributes.get("datacontenttype")
    if isinstance(data, str) and content_type and not content_type.endswith("json"):
        body = data.encode()
    else:
        fields, body = _encode_data(data)
        content_type = content_type or fields.get("contentType", "")
    try:
        _to_json(attributes)
    except (TypeError, ValueError) as e:
        raise InvalidReply("the handler returned a CloudEvent with an attribute that is no text, number or truth value: %s" % e) from None
    return {"event": attributes, "contentType": content_type}, body


class Worker:
    """A handler on a connection."""

    def __init__(self, reader, writer, environ=os.environ):
        self.reader = reader
        self.writer = writer
        self.names = environ.get("LAMBDA_FUNCTION_NAME"), environ.get("LAMBDA_FUNCTION_NAMESPACE")
        self.logger = logging.getLogger("function")

    def send(self, header, body=b""):
        head = _to_json(header).encode()
        self.writer.write(b"".join((struct.pack(">II", len(head), len(body)), head, body)))
        self.writer.flush()

    def receive(self):
        """The next frame, (header, body), or None at the end."""
        lengths = self.reader.read(8)
        if len(lengths) < 8:
            return None
        head, body = struct.unpack(">II", lengths)
        return json.loads(self.reader.read(head)), self.reader.read(body)

    def serve(self, call):
        while True:
            frame = self.receive()
            if frame is None:
                return
            header, body = frame
            reply, data = self.invoke(call, header, body)
            reply["id"] = header["id"]
            self.send(reply, data)

    def invoke(self, call, header, body):
        """Call the handler: (header of the reply, body)."""
        context = lambda_logging.current = Context(header, self.logger, *self.names)
        try:
            result = call(decode(header.get("contentType", ""), body), context)
            if hasattr(result, "__await__"):
                result = _await(result)
            fields, data = encode(result)
            fields["kind"] = "result"
            return fields, data
        except BaseException as e:  # SystemExit ends an invocation, not the worker
            return self.error(e), b""
        finally:
            lambda_logging.flush()
            lambda_logging.current = None

    def error(self, e):
        reply = {"kind": "error", "type": type(e).__name__, "message": describe(e).partition(": ")[2]}
        if isinstance(e, BadInput):
            reply["type"], reply["badInput"] = "InvalidRequest", True
            return reply
        import traceback
        trace = e.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next  # the author's frames are enough
        e = e.with_traceback(trace)
        reply["stack"] = "".join(traceback.format_exception(type(e), e, trace))
        reply["permanent"] = getattr(e, "permanent", False) is True
        self.logger.error("%s", describe(e), exc_info=(type(e), e, trace))
        return reply


def main(set_path):
    descriptor = int(os.environ["LAMBDA_WORKER_FD"])
    os.set_inheritable(descriptor, False)
    worker = Worker(open(descriptor, "rb", 65536), open(descriptor, "wb", 65536, closefd=False))
    lambda_logging.configure()
    handler = os.environ["LAMBDA_HANDLER"]
    set_path()
    try:
        call = adapt(load(handler), handler)
    except Failure as e:
        lambda_logging.flush()
        worker.send({"kind": "failed", "message": str(e)})
        sys.exit(1)
    lambda_logging.flush()
    worker.send({"kind": "ready"})
    try:
        worker.serve(call)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the runtime has gone
