"""Describes exceptions to the runtime and the log."""

import logging
import os
import threading

from knative_lambda import HTTPError
from knative_lambda_worker import logs

MAX_MESSAGE = 16 << 10
MAX_STACK = 64 << 10
MAX_NAME = 256

_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep

# What fails in all threads but the main one.
_THREAD_ERRORS = ("signal only works in main thread", "There is no current event loop in thread",
                  "SQLite objects created in a thread can only be used in that same thread", "is multi-threaded, use of fork()", "This event loop is already running")
_HINT = " (the handler runs in a thread; to run one call a process, in its main thread, set spec.runtime.isolation: exclusive)"


class Failure(Exception):
    """The handler cannot be loaded; the text is for the function's author."""


class BadInput(Exception):
    """The request's body is not what its content type says."""


class InvalidReply(Exception):
    """The handler returned what cannot be sent."""


class Disconnected(OSError):
    """The client has closed its connection, or has not sent all of the request's body."""


def cut(text, length):
    """Shorten text to at most length bytes of UTF-8, without half a character."""
    data = text[:length].encode("utf-8", "backslashreplace")
    return data[:length].decode("utf-8", "ignore")


def text_of(error):
    """The text of an error, whose __str__ may fail too."""
    try:
        return str(error)
    except Exception:
        return "(its text cannot be read)"


def describe(error):
    """Type and text of an error."""
    text = text_of(error)
    return "%s: %s" % (type(error).__name__, text) if text else type(error).__name__


def origin(error):
    """Where in the function's code the error comes from."""
    where, trace = "unknown line", error.__traceback__
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if not filename.startswith((_OWN, "<")):
            where = "%s, line %s" % (os.path.basename(filename), trace.tb_lineno)
        trace = trace.tb_next
    return where


def author_trace(error):
    """The traceback without the worker's own frames at its begin."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OWN):
        trace = trace.tb_next
    return trace


def fields(error, logger):
    """Log an error and return the fields of its frame."""
    if isinstance(error, BadInput):
        return {"type": "InvalidRequest", "message": cut(text_of(error), MAX_MESSAGE), "badInput": True}
    message = cut(text_of(error), MAX_MESSAGE)
    if isinstance(error, HTTPError):
        from knative_lambda_worker import encoding
        logs.report(logging.INFO, "The handler answers with status %d: %s" % (error.status, message), logger=logger)
        found = {"type": "HTTPError", "message": message, "status": error.status}
        if error.headers:
            found["headers"] = encoding.check_headers(error.headers)
            encoding.check_size(found)
        return _permanent(found, error)
    if threading.current_thread() is not threading.main_thread() and any(known in message for known in _THREAD_ERRORS):
        message = cut(message, MAX_MESSAGE - len(_HINT)) + _HINT
    import traceback
    trace = author_trace(error)
    error = error.with_traceback(trace)
    try:
        stack = cut("".join(traceback.format_exception(type(error), error, trace)), MAX_STACK)
    except Exception as e:  # of an exception whose __str__, __cause__ or notes are broken
        stack = "(the stack trace cannot be formatted: %s)" % type(e).__name__
    name = cut(type(error).__name__, MAX_NAME)
    logs.report(logging.ERROR, "%s: %s" % (name, message) if message else name, stack.rstrip("\n"), error, logger)
    return _permanent({"type": name, "message": message, "stack": stack}, error)


def _permanent(found, error):
    if getattr(error, "permanent", False) is True:
        found["permanent"] = True
    return found
