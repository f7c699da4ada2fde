"""The Python worker: calls handler(event, context), one invocation at a time.

It speaks the framed protocol of docs/worker-protocol.md on the socket whose
descriptor LAMBDA_WORKER_FD names, and uses nothing but the standard library.
"""

import asyncio
import base64
import importlib
import inspect
import json
import logging
import os
import socket
import struct
import sys
import time
import traceback

import lambda_runtime

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class BadInput(Exception):
    """The request's body is not what its content type says."""


class Context:
    """What a handler is told besides the event's data."""

    def __init__(self, header):
        event = header.get("event") or {}
        self.is_event = bool(event)
        self.id = event.get("id")
        self.type = event.get("type")
        self.source = event.get("source")
        self.subject = event.get("subject")
        self.time = event.get("time")
        self.attributes = event
        self.extensions = {k: v for k, v in event.items() if k not in lambda_runtime.ATTRIBUTES}
        self.method = header.get("method")
        self.path = header.get("path")
        self.headers = header.get("headers") or {}
        self.traceparent = event.get("traceparent") or self.headers.get("traceparent")
        self.function_name = os.environ.get("LAMBDA_FUNCTION_NAME")
        self.function_namespace = os.environ.get("LAMBDA_FUNCTION_NAMESPACE")
        self.logger = logging.getLogger("function")
        self._deadline = header.get("deadline", 0) / 1000

    def remaining_time(self):
        """Seconds until the invocation is cut off."""
        return max(0.0, self._deadline - time.time())


class Lines:
    """A text stream that turns what a function prints into log records."""

    def __init__(self, level):
        self.level = level
        self.rest = ""

    def write(self, text):
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            if line:
                logging.getLogger("print").log(self.level, "%s", line)
        return len(text)

    def flush(self):
        rest, self.rest = self.rest, ""
        if rest:
            logging.getLogger("print").log(self.level, "%s", rest)

    def isatty(self):
        return False


class JSONFormatter(logging.Formatter):
    """One JSON object a line, with the event that was being handled."""

    current = None  # the Context of the invocation

    def format(self, record):
        line = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + ".%03dZ" % record.msecs,
            "severity": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        context = JSONFormatter.current
        if context is not None:
            if context.id:
                line["event_id"] = context.id
                line["event_type"] = context.type
            if context.traceparent:
                line["traceparent"] = context.traceparent
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logging():
    stream = logging.StreamHandler(sys.__stderr__)
    if os.environ.get("LAMBDA_LOG_FORMAT", "json") == "json":
        stream.setFormatter(JSONFormatter())
    else:
        stream.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.root.handlers[:] = [stream]
    logging.root.setLevel(LEVELS.get(os.environ.get("LAMBDA_LOG_LEVEL", "info"), logging.INFO))
    logging.raiseExceptions = False
    sys.stdout, sys.stderr = Lines(logging.INFO), Lines(logging.WARNING)


class Failure(Exception):
    """The handler cannot be loaded; the text is for a person."""


def load(handler):
    """Import <module>.<function>; what is wrong is a Failure."""
    module_name, _, name = handler.rpartition(".")
    if not module_name or not name:
        raise Failure('handler "%s" is not of the form <module>.<function>: set spec.runtime.handler' % handler)
    try:
        module = importlib.import_module(module_name)
    except SyntaxError as e:
        where = os.path.basename(e.filename) if e.filename else module_name
        raise Failure('cannot import "%s": %s: %s (%s, line %s)' % (module_name, type(e).__name__, e.msg, where, e.lineno))
    except ModuleNotFoundError as e:
        if e.name == module_name:
            raise Failure('handler "%s": there is no module "%s" in the source: set spec.runtime.handler' % (handler, module_name))
        raise Failure('cannot import "%s": %s: add it to the dependencies' % (module_name, e))
    except BaseException as e:  # SystemExit too: an import must not end the worker silently
        frames = traceback.extract_tb(e.__traceback__)
        where = "%s, line %s" % (os.path.basename(frames[-1].filename), frames[-1].lineno) if frames else "?"
        raise Failure('cannot import "%s": %s: %s (%s)' % (module_name, type(e).__name__, e, where))
    function = getattr(module, name, None)
    if function is None:
        there = sorted(k for k, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == module.__name__)
        raise Failure('handler "%s" not found: module "%s" defines %s: set spec.runtime.handler' % (handler, module_name, ", ".join(there) or "no function"))
    if not callable(function):
        raise Failure('handler "%s" is a %s and cannot be called' % (handler, type(function).__name__))
    return function


def adapt(function):
    """Return function as one of (event, context), whatever it takes."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        parameters = [None, None]
    positional = [p for p in parameters if p is None or p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p is not None and p.kind == p.VAR_POSITIONAL for p in parameters) or len(positional) >= 2:
        call = function
    elif len(positional) == 1:
        def call(event, context):
            return function(event)
    else:
        def call(event, context):
            return function()
    if not inspect.iscoroutinefunction(function):
        return call
    loop = asyncio.new_event_loop()
    return lambda event, context: loop.run_until_complete(call(event, context))


def decode(content_type, body):
    """Decode a body by its content type: JSON, text, or bytes as they are."""
    if not body:
        return None
    media = content_type.partition(";")[0].strip().lower()
    if media == "application/json" or media.endswith("+json"):
        try:
            return json.loads(body)
        except ValueError as e:
            raise BadInput("the body is not the JSON that its content type %s says: %s" % (media, e))
    if media.startswith("text/") or media in ("application/xml", "application/x-www-form-urlencoded"):
        try:
            return body.decode()
        except UnicodeDecodeError as e:
            raise BadInput("the body is not the UTF-8 text that its content type %s says: %s" % (media, e))
    if not media:
        try:
            return json.loads(body)
        except ValueError:
            return body
    return body


def encode(value):
    """Encode what a handler returned: (header fields, body)."""
    if value is None:
        return {}, b""
    if isinstance(value, lambda_runtime.CloudEvent):
        value = value.attributes_and_data()
    if isinstance(value, dict) and "specversion" in value and "type" in value:
        attributes = {k: v for k, v in value.items() if k not in ("data", "data_base64")}
        if "data_base64" in value:
            return {"event": attributes, "contentType": attributes.get("datacontenttype", "application/octet-stream")}, base64.b64decode(value["data_base64"])
        fields, body = encode(value.get("data"))
        return {"event": attributes, "contentType": attributes.get("datacontenttype", fields.get("contentType", ""))}, body
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"contentType": "application/octet-stream"}, bytes(value)
    try:
        return {"contentType": "application/json"}, json.dumps(value).encode()
    except (TypeError, ValueError) as e:
        raise lambda_runtime.PermanentError("the handler returned what cannot be written as JSON: %s" % e)


def invoke(call, header, body):
    """Call the handler: (header of the reply, body)."""
    context = JSONFormatter.current = Context(header)
    try:
        fields, data = encode(call(decode(header.get("contentType", ""), body), context))
        fields["kind"] = "result"
        return fields, data
    except BadInput as e:
        return {"kind": "error", "type": "InvalidRequest", "message": str(e), "badInput": True}, b""
    except BaseException as e:  # SystemExit and KeyboardInterrupt end an invocation, not the worker
        trace = e.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        stack = "".join(traceback.format_exception(type(e), e, trace))
        logging.getLogger("function").error("%s: %s", type(e).__name__, e, exc_info=(type(e), e, trace))
        return {"kind": "error", "type": type(e).__name__, "message": str(e), "stack": stack, "permanent": getattr(e, "permanent", False) is True}, b""
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        JSONFormatter.current = None


def send(stream, header, body=b""):
    head = json.dumps(header).encode()
    stream.sendall(b"".join((struct.pack(">II", len(head), len(body)), head, body)))


def serve(stream, call):
    reader = stream.makefile("rb", 65536)
    while True:
        lengths = reader.read(8)
        if len(lengths) < 8:
            return
        head, size = struct.unpack(">II", lengths)
        header = json.loads(reader.read(head))
        reply, data = invoke(call, header, reader.read(size))
        reply["id"] = header["id"]
        send(stream, reply, data)


def main():
    stream = socket.socket(fileno=int(os.environ["LAMBDA_WORKER_FD"]))
    os.set_inheritable(stream.fileno(), False)
    configure_logging()
    sys.path.insert(0, os.environ.get("LAMBDA_TASK_ROOT", os.getcwd()))
    try:
        call = adapt(load(os.environ["LAMBDA_HANDLER"]))
    except Failure as e:
        sys.stdout.flush()
        sys.stderr.flush()
        send(stream, {"kind": "failed", "message": str(e)})
        sys.exit(1)
    send(stream, {"kind": "ready"})
    try:
        serve(stream, call)
    except (BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        pass


if __name__ == "__main__":
    main()
