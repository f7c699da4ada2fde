"""Calls handlers in tasks of an event loop, one for each call."""

import asyncio
import logging

from knative_lambda_worker import decoding, encoding, errors, fork, frames, logs
from knative_lambda_worker.call import Call
from knative_lambda_worker.threads import failure

_BUFFER = 128 << 10  # bytes of a request's body that wait for the handler


class Chunks:
    """The rest of a request's body, an asynchronous iterator. It stops the connection
    while more than a few pieces wait."""

    def __init__(self, slot, first):
        self._slot = slot
        self._pieces = [first] if first else []
        self._size = len(first)
        self._error = None
        self.ended = False  # all of it has arrived
        self._dropped = False
        self._arrived = None

    def __aiter__(self):
        return self

    async def __anext__(self):
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.ended or self._dropped:
                raise StopAsyncIteration
            self._arrived = self._slot.loop.create_future()
            await self._arrived
        piece = self._pieces.pop(0)
        self._size -= len(piece)
        if self._size <= _BUFFER:
            self._slot.resume()
        return piece

    def feed(self, header, data):
        """Take a frame of the body."""
        self.ended = header is not None or not data
        if header is not None:
            self._error = errors.Disconnected("%s: %s" % (header.get("type"), header.get("message")))
        elif data and not self._dropped:
            self._pieces.append(data)
            self._size += len(data)
            if self._size > _BUFFER:
                self._slot.pause()
        self._wake()

    def drop(self):
        """Keep nothing of what arrives from now on: the call has been answered."""
        self._dropped = True
        self._pieces.clear()
        self._slot.resume()
        self._wake()

    def _wake(self):
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)


class Answer:
    """Sends the answer to a call, and waits while its client is slow."""

    def __init__(self, slot, call):
        self._slot = slot
        self._call = call

    async def result(self, fields, body=b"", more=False):
        header = dict(fields, kind="result", id=self._call.id)
        if more:
            header["more"] = True
        head = frames.head(header, len(body))
        self._call.answered = True
        if not more:
            self._finish()
        await self._slot.write(head + body)

    async def chunk(self, data):
        for frame in frames.chunks(data):
            await self._slot.write(frame)

    async def end(self, trailers=None):
        frame = frames.head({"kind": "end", "id": self._call.id, "trailers": trailers}, 0) if trailers else frames.END
        self._finish()
        await self._slot.write(frame)

    def error(self, fields):
        """Send an error, unless the reply has ended before it."""
        if not self._call.ended:
            self._finish()
            self._slot.write_now(frames.head(dict(fields, kind="error", id=self._call.id), 0))

    def _finish(self):
        """The next call may come, although the task may still do something."""
        self._call.ended = True
        if self._call.chunks is not None:
            self._call.chunks.drop()


class Handler:
    """Answers calls by an async function of (event, context)."""

    interface = "handler"

    def __init__(self, function, request_stream=False):
        self._function = function
        self.request_stream = request_stream

    async def answer(self, call, answer):
        event = None if call.chunks is not None else decoding.decode_request(call.header, call.body)
        value = self._function(event, call.context)
        if hasattr(value, "__await__"):
            value = await value
        reply = encoding.encode(value, call.is_event)
        if reply.items is None:
            await answer.result(reply.fields, reply.body)
            return
        items = reply.items if hasattr(reply.items, "__anext__") else _in_thread(reply.items)
        try:
            await self._stream(call, reply, items, answer)
        finally:
            await _close(items)

    async def _stream(self, call, reply, items, answer):
        encoder = encoding.Items()
        async for item in items:
            data = encoder.encode(item)
            if call.answered:
                await answer.chunk(data)
            else:
                fields = encoding.stream_fields(reply.fields, encoder.content_type)
                await answer.result(fields, data[:frames.MAX_CHUNK], more=True)
                await answer.chunk(data[frames.MAX_CHUNK:])
            if call.context.cancelled:
                break
        if call.answered:
            await answer.end()
        else:
            await answer.result(reply.fields)


async def _in_thread(items):
    """Iterate over what would block the loop."""
    end = object()
    try:
        while True:
            item = await asyncio.to_thread(next, items, end)
            if item is end:
                return
            yield item
    finally:
        if hasattr(items, "close"):
            items.close()


async def _close(items):
    if hasattr(items, "aclose"):
        try:
            await items.aclose()
        except RuntimeError as e:  # it ignored GeneratorExit
            logs.report(logging.WARNING, "The handler's stream cannot be closed: %s" % errors.text_of(e))


class Slot(asyncio.Protocol):
    """Serves the calls of one connection, one after another."""

    def __init__(self, runner):
        self.loop = runner.loop
        self._runner = runner
        self._application = runner.application
        self._feed = frames.Feed()
        self._transport = None
        self._paused = False
        self._room = None  # a future while the connection's buffer is not empty
        self._call = None
        self._cancelled = 0, ""
        self._tasks = set()  # of the call, and of earlier ones that go on after their answer

    # Of asyncio.Protocol.

    def connection_made(self, transport):
        self._transport = transport
        transport.set_write_buffer_limits(high=0)  # a write waits for the client at once

    def data_received(self, data):
        for header, body in self._feed.feed(data):
            call = self._call
            if call is not None and call.chunks is not None and not call.chunks.ended:
                call.chunks.feed(header, body)
            elif header is None or header.get("kind") != "invoke" or (call is not None and not call.ended):
                raise frames.Broken("expected invoke, got %r" % (header,))
            else:
                self._begin(header, body)

    def connection_lost(self, _error):
        self.resume_writing()
        for task in self._tasks:
            task.cancel()

    def pause_writing(self):
        self._room = self.loop.create_future()

    def resume_writing(self):
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    # Of requests' bodies.

    def pause(self):
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self):
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    # Of answers.

    def write_now(self, data):
        fork.check()
        self._transport.write(data)

    async def write(self, data):
        self.write_now(data)
        if self._room is not None:
            # A frame is written to its end even if the waiting task is cancelled.
            await asyncio.shield(self._room)

    def cancel(self, number, reason):
        """Cancel a call."""
        call = self._call
        if call is None or call.id != number or call.ended:
            self._cancelled = number, reason  # it may be here before the call is
            return
        applications = hasattr(self._application, "disconnect")
        if applications:
            self._application.disconnect(call)
        if applications and reason == "disconnect":
            call.context.cancelled.set()  # they end by themselves
        else:
            call.cancel(reason)

    def _begin(self, header, body):
        self._call = call = Call(header, body, Chunks(self, body) if header.get("more") else None)
        self._runner.begun()
        self._tasks.add(self.loop.create_task(self._answer(call)))
        if self._cancelled[0] == call.id:
            self.cancel(*self._cancelled)

    async def _answer(self, call):
        logs.enter(call)
        answer = Answer(self, call)
        try:
            # From here on: a task that is cancelled before it begins does not answer.
            call.interruptible(asyncio.current_task())
            await self._application.answer(call, answer)
        except BaseException as e:  # SystemExit ends a call, not the loop
            if fork.in_child:
                fork.leave(e)
            answer.error(failure(call, e))
        finally:
            logs.leave(call)
            self._tasks.discard(asyncio.current_task())
            self._runner.ended()
