"""Starts the worker: descriptors, loading, control connection."""

import logging
import os
import select
import sys
import threading

import knative_lambda
from knative_lambda_worker import call, errors, fork, frames, loader, logs, threads

PROTOCOL = 2


class Control:
    """The control connection, which a thread of its own reads."""

    def __init__(self, descriptor):
        self._connection = frames.Connection(descriptor)
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self.ended = False

    def send(self, **header):
        with self._lock:
            try:
                self._connection.write(frames.head(header, 0))
            except frames.Closed:
                pass  # its reader stops the worker

    def retire(self, message):
        self.send(kind="retire", message=errors.cut(message, errors.MAX_MESSAGE))

    def serve(self, runner):
        """Read up to the end, and then stop the worker."""
        feed, poll = frames.Feed(), select.poll()
        poll.register(self._descriptor, select.POLLIN)
        try:
            while True:
                wait = runner.check()
                if not poll.poll(None if wait is None else wait * 1000):
                    continue
                data = os.read(self._descriptor, 65536)
                if not data:
                    break
                for header, _ in feed.feed(data):
                    self._take(header or {}, runner)
        except (OSError, frames.Broken) as e:
            logs.report(logging.ERROR, "The control connection failed: %s" % e)
        runner.stop()

    def _take(self, header, runner):
        kind = header.get("kind")
        if kind == "open":
            runner.open(header["slot"])
        elif kind == "cancel":
            runner.cancel(header["slot"], header["id"], header.get("reason", "timeout"))
        elif kind == "ping":
            runner.ping(lambda number=header["id"]: self.send(kind="pong", id=number))
        elif kind == "drain":
            call.stopping.set()
            runner.drain()


def main(set_path):
    """Run the worker. set_path makes the function's modules importable."""
    control = int(os.environ["LAMBDA_WORKER_FD"])
    descriptors = range(control, control + 1 + int(os.environ["LAMBDA_WORKER_SLOTS"]))
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    fork.watch(descriptors)
    _raise_limit()
    logs.configure(os.environ)
    call.configure(os.environ)
    sys.modules["lambda_runtime"] = knative_lambda  # its name in images before
    connection = Control(control)
    try:
        runner, application = _load(descriptors, connection, set_path)
    except errors.Failure as e:
        logs.flush()
        connection.send(kind="failed", message=errors.cut(str(e), errors.MAX_MESSAGE))
        sys.exit(1)
    logs.flush()
    connection.send(**_ready(application))
    threading.Thread(target=connection.serve, args=(runner,), name="control", daemon=True).start()
    runner.run()


def _load(descriptors, connection, set_path):
    handler, slots = os.environ["LAMBDA_HANDLER"], len(descriptors) - 1
    set_path()
    found = loader.load(handler)
    application, kind = loader.application(found, handler, os.environ.get("LAMBDA_INTERFACE") or "auto", slots)
    if isinstance(application, threads.Handler) or application.interface == "wsgi":
        runner = threads.Runner(descriptors, application)
        # The default of 5 ms lets one busy thread delay each step of the others by as much.
        sys.setswitchinterval(0.001)
    else:
        from knative_lambda_worker import eventloop
        runner = eventloop.Runner(descriptors, application, connection.retire)
    runner.start()
    logs.report(logging.INFO, "%s is loaded: %s" % (handler, kind))
    return runner, application


def _ready(application):
    ready = {"kind": "ready", "protocol": PROTOCOL, "interface": application.interface}
    if application.request_stream:
        ready["requestStream"] = True
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        ready["parallel"] = True
    return ready


def _raise_limit():
    """Allow as many open files as the system does: each call may have its own."""
    import resource
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        pass  # a system without such a limit
