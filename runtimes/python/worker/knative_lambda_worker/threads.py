"""Calls handlers in threads, one for each slot. With one slot that is the main thread."""

import contextvars
import logging
import os
import sys
import threading
import time

from knative_lambda_worker import call as calls
from knative_lambda_worker import decoding, encoding, errors, fork, frames, logs
from knative_lambda_worker.call import Call
from knative_lambda_worker.errors import InvalidReply


class Chunks:
    """The rest of a request's body, which is read as it is iterated."""

    def __init__(self, connection, first):
        self._connection = connection
        self._first = first
        self._ended = False

    def __iter__(self):
        return self

    def __next__(self):
        if self._first:
            first, self._first = self._first, b""
            return first
        if self._ended:
            raise StopIteration
        frame = self._connection.read()
        if frame is None:
            raise frames.Closed("it ended within a request's body")
        header, data = frame
        if header is None and data:
            return data
        self._ended = True
        if header is not None:
            raise errors.Disconnected("%s: %s" % (header.get("type"), header.get("message")))
        raise StopIteration

    def drop(self):
        """Read up to the end: the connection's next frame is another call."""
        self._first = b""
        try:
            for _ in self:
                pass
        except errors.Disconnected:
            pass


class Answer:
    """Sends the answer to a call."""

    def __init__(self, connection, call):
        self._connection = connection
        self._call = call

    def result(self, fields, body=b"", more=False):
        header = dict(fields, kind="result", id=self._call.id)
        if more:
            header["more"] = True
        head = frames.head(header, len(body))
        self._call.answered, self._call.ended = True, not more
        self._connection.write(head, body)

    def chunk(self, data):
        for frame in frames.chunks(data):
            self._connection.write(frame)

    def end(self):
        self._call.ended = True
        self._connection.write(frames.END)

    def error(self, fields):
        """Send an error, unless the reply has ended before it."""
        if not self._call.ended:
            self._call.ended = True
            self._connection.write(frames.head(dict(fields, kind="error", id=self._call.id), 0))


class Handler:
    """Answers calls by a function of (event, context)."""

    interface = "handler"

    def __init__(self, function, request_stream=False):
        self._function = function
        self._background = None
        self._starting = threading.Lock()
        self.request_stream = request_stream
        self.loop = None  # that of the main thread, which locks of modules may be bound to

    def answer(self, call, answer):
        event = None if call.chunks is not None else decoding.decode_request(call.header, call.body)
        value = self._function(event, call.context)
        if hasattr(value, "__await__"):
            value = self._loop().run(value, call)
        reply = encoding.encode(value, call.is_event)
        if reply.items is None:
            answer.result(reply.fields, reply.body)
        else:
            self._stream(call, reply, answer)

    def _loop(self):
        """The event loop for what def handlers return: coroutines, async generators."""
        with self._starting:
            if self._background is None:
                from knative_lambda_worker import eventloop
                self._background = eventloop.Background(self.loop or eventloop.asyncio.new_event_loop())
        return self._background

    def _iterate(self, items, call):
        return self._loop().iterate(items, call) if hasattr(items, "__anext__") else items

    def _stream(self, call, reply, answer):
        encoder, items = encoding.Items(), self._iterate(reply.items, call)
        try:
            for item in items:
                if call.context.cancelled:
                    break
                data = encoder.encode(item)
                if call.answered:
                    answer.chunk(data)
                else:
                    fields = encoding.stream_fields(reply.fields, encoder.content_type)
                    answer.result(fields, data[:frames.MAX_CHUNK], more=True)
                    answer.chunk(data[frames.MAX_CHUNK:])
        finally:
            close(items)
        if call.answered:
            answer.end()
        else:
            answer.result(reply.fields)


def close(items):
    """Close a generator, which may refuse."""
    if hasattr(items, "close"):
        try:
            items.close()
        except RuntimeError as e:  # it ignored GeneratorExit
            logs.report(logging.WARNING, "The handler's stream cannot be closed: %s" % errors.text_of(e))


class Slot:
    """Serves the calls of one connection, one after another."""

    def __init__(self, descriptor, application):
        self._connection = frames.Connection(descriptor)
        self._application = application
        self._call = None
        self._cancelled = 0, ""
        self._loop = None

    def serve(self):
        """Serve until the runtime closes the connection."""
        try:
            while True:
                frame = self._connection.read()
                if frame is None:
                    return
                self._serve(*frame)
        except frames.Closed:
            pass
        finally:
            if self._loop is not None:
                self._loop.close()

    def cancel(self, number, reason):
        self._cancelled = number, reason  # it may be here before the call is
        call = self._call
        if call is not None and call.id == number:
            call.cancel(reason)

    def _serve(self, header, body):
        if header is None or header.get("kind") != "invoke":
            raise frames.Broken("expected invoke, got %r" % (header,))
        chunks = Chunks(self._connection, body)
        call = self._call = Call(header, body, chunks)
        if self._cancelled[0] == call.id:
            call.cancel(self._cancelled[1])
        if self._loop is None and "asyncio" in sys.modules:
            # As in the main thread of a program: handlers call get_event_loop().
            from knative_lambda_worker import eventloop
            self._loop = eventloop.current_loop()
        try:
            contextvars.copy_context().run(self._answer, call)
        finally:
            self._call = None
        if call.chunks is not None:
            chunks.drop()

    def _answer(self, call):
        logs.enter(call)
        answer = Answer(self._connection, call)
        try:
            self._application.answer(call, answer)
        except frames.Closed:
            raise
        except BaseException as e:  # SystemExit ends a call, not the worker
            self._fail(call, answer, e)
        finally:
            logs.leave(call)

    def _fail(self, call, answer, error):
        if fork.in_child:
            fork.leave(error)
        answer.error(failure(call, error))


def failure(call, error):
    """Log the error of a call and return the fields of its frame."""
    if call.context.cancelled and type(error).__name__ == "CancelledError":
        return {"type": "Cancelled", "message": "the handler was cancelled"}
    if isinstance(error, frames.TooLong):
        error = InvalidReply(str(error))
    try:
        return errors.fields(error, calls.logger)
    except InvalidReply as e:  # headers of an HTTPError
        return errors.fields(e, calls.logger)


class Runner:
    """Serves slots in threads, which start when their slot is opened."""

    def __init__(self, descriptors, application):
        self._descriptors = descriptors
        self._application = application
        self._slots = {}
        self._threads = []
        self._stopped = threading.Event()
        self._main = threading.Event()  # the only slot has been opened, or the worker stops

    def open(self, number):
        slot = self._slots[number] = Slot(self._descriptors[number], self._application)
        if len(self._descriptors) == 2:
            self._main.set()
        else:
            self._threads.append(threading.Thread(target=self._serve, args=(slot,), name="slot-%d" % number, daemon=True))
            self._threads[-1].start()

    def cancel(self, number, call, reason):
        if number in self._slots:
            self._slots[number].cancel(call, reason)

    def ping(self, pong):
        pong()

    def check(self):
        return None

    def drain(self):
        pass

    def stop(self):
        self._stopped.set()
        self._main.set()

    def start(self):
        if "asyncio" in sys.modules and hasattr(self._application, "loop"):
            from knative_lambda_worker import eventloop
            self._application.loop = eventloop.current_loop()

    def run(self):
        """Run in the main thread until the worker stops."""
        if len(self._descriptors) == 2:
            self._main.wait()
            for slot in tuple(self._slots.values()):
                self._serve(slot)
        self._stopped.wait()
        deadline = time.monotonic() + 1  # their connections have been closed, too
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))

    def _serve(self, slot):
        try:
            slot.serve()
        except BaseException as e:  # of the worker's own code: the runtime replaces the worker
            logs.report(logging.ERROR, "A slot has failed", error=e)
            os._exit(1)
