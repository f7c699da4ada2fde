"""Makes what a function logs and prints JSON lines that name its event."""

import io
import json
import logging
import os
import sys
import threading
import time

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

# The Context of the invocation. There is one at a time, and threads that the
# handler starts belong to it.
current = None

# Whether lines name the invocation's trace.
_trace_context = True


class _JSON(logging.Formatter):
    def format(self, record):
        line = {
            "timestamp": "%s.%03dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)), record.msecs),
            "severity": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        context = current
        if context is not None:
            if context.id:
                line["event_id"] = context.id
                line["event_type"] = context.type
            if _trace_context and context.trace_id:
                line["trace_id"] = context.trace_id
                line["span_id"] = context.span_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _Lines(io.RawIOBase):
    """A stream whose lines become log records, whatever the log level is: who
    prints wants to see it."""

    def __init__(self, name, level, descriptor):
        self._name = name
        self._level = level
        self._descriptor = descriptor
        self._rest = b""
        self._lock = threading.Lock()

    def writable(self):
        return True

    def fileno(self):
        return self._descriptor  # for processes that the function starts

    def write(self, data):
        with self._lock:
            *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        for line in lines:
            self._log(line)
        return len(data)

    def end_line(self):
        """Log what was printed without an end of line."""
        if self._rest:
            with self._lock:
                line, self._rest = self._rest, b""
            self._log(line)

    def _log(self, line):
        text = line.decode("utf-8", "replace").rstrip("\r")
        if text:
            logging.root.handle(logging.LogRecord(self._name, self._level, "", 0, text, None, None))


_streams = []


def configure(environ=os.environ):
    """Set up the root logger; as JSON, take over standard output and error too."""
    global _trace_context
    _trace_context = environ.get("LAMBDA_LOG_TRACE_CONTEXT", "true").lower() not in ("false", "f", "0")
    handler = logging.StreamHandler(sys.__stderr__)
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(_LEVELS.get(environ.get("LAMBDA_LOG_LEVEL"), logging.INFO))
    if environ.get("LAMBDA_LOG_FORMAT", "json") == "text":
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        return
    handler.setFormatter(_JSON())
    _streams[:] = [_Lines("stdout", logging.INFO, 1), _Lines("stderr", logging.WARNING, 2)]
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.BufferedWriter(s), encoding="utf-8", errors="backslashreplace", line_buffering=True) for s in _streams)


def flush():
    """Log what was printed so far, also an unfinished line."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # the function has closed or replaced it
            pass
    for stream in _streams:
        stream.end_line()
