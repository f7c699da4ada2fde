"""The event loop: that of the main thread for async handlers, and one in the background
for what other handlers return."""

import asyncio
import logging
import socket
import sys
import threading
import time
import traceback
import warnings

from knative_lambda_worker import fork, logs, tasks

BLOCKED = 2.0  # seconds without a pong after which the stack of the loop is logged


def current_loop():
    """Return the event loop of this thread, which gets one if it has none. That of the
    main thread may be one that the function's modules have made, and bound locks to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            loop = asyncio.get_event_loop()
        except RuntimeError:
            loop = None
    if loop is None or loop.is_closed():
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
    return loop


def watch_forks(loop):
    """Keep a child that a task forks from running the other tasks of the loop, which
    are the parent's."""
    def forked():
        getattr(loop, "_ready", []).clear()
        loop.stop()
    fork.on_fork(forked)


class Background:
    """An event loop in a thread of its own."""

    def __init__(self, loop):
        self._loop = loop
        watch_forks(loop)
        threading.Thread(target=self._serve, name="event-loop", daemon=True).start()

    def _serve(self):
        asyncio.set_event_loop(self._loop)
        while True:
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as e:  # of a task that no call awaits
                logs.report(logging.WARNING, "A task of the event loop raised %s" % type(e).__name__)
            except IndexError:  # see watch_forks
                fork.check()
                raise
            fork.check()

    def run(self, awaitable, call=None):
        """Wait for an awaitable, which is cancelled with the call, if one is given."""
        waiting = _Waiting(self._loop, awaitable)
        if call is not None:
            call.interruptible(waiting)
        return waiting.result()

    def iterate(self, items, call):
        """Iterate over an asynchronous iterator."""
        async def pull():
            try:
                return await items.__anext__()
            except StopAsyncIteration:
                return _END
        try:
            while True:
                item = self.run(pull(), call)
                if item is _END:
                    return
                yield item
        finally:
            if hasattr(items, "aclose"):
                self.run(items.aclose())


class _Waiting:
    """A thread's wait for an awaitable. Unlike a future of concurrent.futures it ends
    when the task has ended, also when it is cancelled."""

    def __init__(self, loop, awaitable):
        self._loop = loop
        self._awaitable = awaitable
        self._ended = threading.Event()
        self._result = self._error = self._task = None
        loop.call_soon_threadsafe(self._start)

    def cancel(self):
        self._loop.call_soon_threadsafe(self._cancel)

    def result(self):
        self._ended.wait()
        if self._error is not None:
            raise self._error
        return self._result

    def _start(self):
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(self._end)

    def _cancel(self):
        self._task.cancel()

    async def _run(self):
        try:
            self._result = await self._awaitable
        except (SystemExit, KeyboardInterrupt) as e:  # would end the loop
            self._error = e

    def _end(self, task):
        if task.cancelled():
            self._error = asyncio.CancelledError()
        elif task.exception() is not None:
            self._error = task.exception()
        self._ended.set()


_END = object()


class Runner:
    """Serves slots on the event loop of the main thread."""

    def __init__(self, descriptors, application, retire):
        self.application = application
        self.loop = current_loop()
        self._descriptors = descriptors
        self._retire = retire  # called with a reason
        self._slots = {}
        self._open = 0
        self._draining = self._stopped = False
        self._unanswered = None  # when the ping that waits for its pong came
        self._thread = threading.get_ident()
        watch_forks(self.loop)

    # Called by the control thread.

    def open(self, number):
        self.loop.call_soon_threadsafe(self._connect, number)

    def cancel(self, number, call, reason):
        self.loop.call_soon_threadsafe(self._cancel, number, call, reason)

    def ping(self, pong):
        self._unanswered = time.monotonic()
        self.loop.call_soon_threadsafe(self._pong, pong)

    def check(self):
        """Log the stack of what has blocked the loop for too long. Return after how many
        seconds to check again, or None."""
        since = self._unanswered
        if since is None:
            return None
        rest = since + BLOCKED - time.monotonic()
        if rest > 0:
            return rest
        self._unanswered = None
        stack = "".join(traceback.format_stack(sys._current_frames().get(self._thread)))
        logs.report(logging.WARNING, "The event loop has been blocked for %d seconds: use asyncio.to_thread for what blocks, or a handler without async"
                    % BLOCKED, stack.rstrip("\n"))
        return None

    def drain(self):
        self.loop.call_soon_threadsafe(self._drain)

    def stop(self):
        self._stopped = True
        self.loop.call_soon_threadsafe(self.loop.stop)

    # Called on the loop.

    def begun(self):
        self._open += 1

    def ended(self):
        self._open -= 1
        if self._draining and self._open == 0:
            self._shutdown()

    def _connect(self, number):
        connection = socket.socket(fileno=self._descriptors[number])
        connection.setblocking(False)
        slot = self._slots[number] = tasks.Slot(self)
        self._opening = self.loop.create_task(self.loop.connect_accepted_socket(lambda: slot, connection))

    def _cancel(self, number, call, reason):
        if number in self._slots:
            self._slots[number].cancel(call, reason)

    def _pong(self, pong):
        self._unanswered = None
        pong()

    def _drain(self):
        self._draining = True
        if self._open == 0:
            self._shutdown()

    def _shutdown(self):
        if hasattr(self.application, "shutdown"):
            self._stopping = self.loop.create_task(self.application.shutdown())

    # Called in the main thread.

    def start(self):
        """Start the application, whose failure is errors.Failure."""
        if hasattr(self.application, "startup"):
            self.loop.run_until_complete(self.application.startup())

    def run(self):
        """Run until the worker stops."""
        while not self._stopped:
            try:
                self.loop.run_forever()
            except BaseException as e:  # of a task that no call awaits
                fork.check()  # see watch_forks
                message = "a task of the event loop raised %s" % type(e).__name__
                logs.report(logging.ERROR, message, error=e)
                self._retire(message)
            fork.check()
        self.loop.run_until_complete(self._finish())

    async def _finish(self):
        if hasattr(self.application, "shutdown"):
            await self.application.shutdown()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=1)
        await self.loop.shutdown_asyncgens()
