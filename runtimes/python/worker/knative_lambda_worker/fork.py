"""Children that a handler forks.

A child closes the worker's connections, and ends where it would return into the
worker: two processes must not answer on one connection.
"""

import os
import sys

in_child = False

_descriptors = range(0)
_on_fork = []
_on_leave = []


def watch(descriptors):
    """From now on children close these descriptors."""
    global _descriptors
    _descriptors = descriptors
    os.register_at_fork(after_in_child=_forked)


def on_fork(function):
    """Call function in children."""
    _on_fork.append(function)


def on_leave(function):
    """Call function before a child ends."""
    _on_leave.append(function)


def check():
    """End this process if it is a child. Whatever reads or writes on a connection of
    the worker calls it first."""
    if in_child:
        leave()


def _forked():
    global in_child
    if in_child:
        return  # a child's child: these descriptors may be its own
    in_child = True
    os.closerange(_descriptors.start, _descriptors.stop)
    for function in _on_fork:
        function()


def leave(error=None):
    """End a child, as Python does at the end of a program."""
    status = 0
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        if status == 1 and isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    elif error is not None:
        import traceback

        from knative_lambda_worker import errors
        traceback.print_exception(type(error), error, errors.author_trace(error))
        status = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # closed or replaced by the handler
            pass
    for function in _on_leave:
        function()
    os._exit(status & 0xFF)
