"""Makes log records and printed lines JSON that names its call.

Lines go to the descriptor of standard error and not through another stream or logger,
so that a function may log to its standard output and print from its log handlers.
"""

import contextvars
import io
import json
import logging
import os
import sys
import threading
import time

from knative_lambda_worker import fork

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_DESCRIPTOR = 2

_current = contextvars.ContextVar("knative_lambda_call", default=None)
_logger = logging.getLogger("runtime")  # of the worker's own messages

_open = set()  # calls that have begun and not ended
_lock = threading.RLock()  # reentrant: finalizers and signal handlers may print
_unfinished = {}  # lines that are printed outside of calls, by stream

_trace_context = True  # whether lines name the call's trace
_function_streams = ()


def _reset_lock():
    global _lock
    _lock = threading.RLock()  # another thread may hold the parent's


def report(level, message, stack=None, error=None, logger=_logger):
    """Log a message of the worker, whatever the function's log handlers do with it.
    The log has the stack; handlers of the function may look at the error."""
    try:
        logger.log(level, "%s", message, extra={"lambda_stack": stack}, exc_info=error)
    except Exception:
        _line(time.time(), logging.getLevelName(level), logger.name, message, stack)


def enter(call):
    """Attribute to call what the current context logs and prints."""
    _current.set(call)
    _open.add(call)


def leave(call):
    """Print unfinished lines of a call, which has ended."""
    for stream in _function_streams:
        stream.end_line(call.unfinished)
    _open.discard(call)


def _leave_child():
    call = _call()
    if call is not None:
        leave(call)
    flush()


def _call():
    """The call that the current code belongs to. Threads that a handler starts have no
    context of their own before Python 3.14: they belong to the only open call, or to
    none."""
    call = _current.get()
    if call is None and len(_open) == 1:
        for call in tuple(_open):
            return call
    return call


def _line(created, severity, logger, message, exception=None):
    line = {"timestamp": "%s.%03dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created)), created % 1 * 1000),
            "severity": severity, "logger": logger, "message": message}
    call = _call()
    if call is not None:
        context = call.context
        if context.id:
            line["event_id"] = context.id
            line["event_type"] = context.type
        if _trace_context and context.trace_id:
            line["trace_id"] = context.trace_id
            line["span_id"] = context.span_id
    if exception:
        line["exception"] = exception
    _write(json.dumps(line, default=str).encode() + b"\n")


def _write(data):
    with _lock:
        while data:
            try:
                data = data[os.write(_DESCRIPTOR, data):]
            except BlockingIOError:  # a child process has made the pipe non-blocking
                time.sleep(0.001)
            except OSError:  # the log's reader has ended
                return


class _Handler(logging.Handler):
    def emit(self, record):
        try:
            stack = getattr(record, "lambda_stack", None)
            if stack is None and record.exc_info and record.exc_info[0] is not None:
                stack = logging.Formatter().formatException(record.exc_info)
            _line(record.created, record.levelname, record.name, record.getMessage(), stack)
        except Exception:
            self.handleError(record)


class _TextFormatter(logging.Formatter):
    def format(self, record):
        stack = getattr(record, "lambda_stack", None)
        if stack is None:
            return super().format(record)
        record = logging.makeLogRecord(dict(record.__dict__, exc_info=None, exc_text=None))
        return "%s\n%s" % (super().format(record), stack)


class _Lines(io.RawIOBase):
    """A stream whose lines become lines of the log, whatever the log level is."""

    def __init__(self, name, severity, descriptor):
        self._name = name
        self._severity = severity
        self._descriptor = descriptor

    def writable(self):
        return True

    def fileno(self):
        return self._descriptor  # for processes that the function starts

    def write(self, data):
        data = bytes(data)
        call = _call()
        unfinished = _unfinished if call is None else call.unfinished
        with _lock:
            rest = unfinished.setdefault(self._name, bytearray())
            rest += data
            if b"\n" not in data:
                return len(data)
            *lines, last = bytes(rest).split(b"\n")
            rest[:] = last
        for line in lines:
            self._print(line)
        return len(data)

    def end_line(self, unfinished):
        """Print what was written without an end of line."""
        with _lock:
            line = unfinished.pop(self._name, None)
        if line:
            self._print(line)

    def _print(self, line):
        text = line.decode("utf-8", "replace").rstrip("\r")
        if text:
            _line(time.time(), self._severity, self._name, text)


def configure(environ):
    """Set up the root logger; as JSON, replace standard output and error too."""
    global _trace_context, _function_streams
    _trace_context = environ.get("LAMBDA_LOG_TRACE_CONTEXT", "true").lower() not in ("false", "f", "0")
    logging.root.setLevel(_LEVELS.get(environ.get("LAMBDA_LOG_LEVEL"), logging.INFO))
    fork.on_fork(_reset_lock)
    fork.on_leave(_leave_child)
    if environ.get("LAMBDA_LOG_FORMAT", "json") == "text":
        handler = logging.StreamHandler(sys.__stderr__)
        handler.setFormatter(_TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.root.handlers[:] = [handler]
        return
    logging.root.handlers[:] = [_Handler()]
    _function_streams = _Lines("stdout", "INFO", 1), _Lines("stderr", "WARNING", 2)
    # write_through: the text of one call must not wait beside that of another.
    sys.stdout, sys.stderr = (io.TextIOWrapper(s, encoding="utf-8", errors="backslashreplace", line_buffering=True, write_through=True)
                              for s in _function_streams)


def flush():
    """Print unfinished lines outside of calls."""
    for stream in _function_streams:
        stream.end_line(_unfinished)
