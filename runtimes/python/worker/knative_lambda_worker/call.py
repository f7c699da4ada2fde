"""One call, wherever its handler runs."""

import logging

from knative_lambda import Context, Flag, Request

stopping = Flag()
logger = logging.getLogger("function")
names = (None, None)  # of the function and its namespace


def configure(environ):
    global names
    names = environ.get("LAMBDA_FUNCTION_NAME"), environ.get("LAMBDA_FUNCTION_NAMESPACE")


class Call:
    """The call of an invoke frame. chunks is what its body arrives in after the frame."""

    __slots__ = ("header", "id", "body", "chunks", "context", "unfinished", "answered", "ended", "future", "interrupted")

    def __init__(self, header, body, chunks):
        self.header = header
        self.id = header["id"]
        self.body = body
        self.chunks = chunks if header.get("more") else None
        if self.chunks is None:
            request = Request(header, body)
        else:
            request = Request(header, None, self.chunks)
        self.context = Context(header, request, logger, names, stopping)
        self.unfinished = {}  # lines that have been printed in part: see logs
        self.answered = False  # the head of the reply has been sent
        self.ended = False  # all of it has been
        self.future = None  # of a coroutine that a thread waits for
        self.interrupted = False  # such coroutines are cancelled

    def cancel(self, reason):
        """Cancel it from another thread. The client's end cancels streams only: a
        handler that has not answered may go on."""
        self.context.cancelled.set()
        if reason == "timeout" or self.answered:
            self.interrupted = True  # before future is read, as interruptible looks at them in the other order
            future = self.future
            if future is not None:
                future.cancel()

    def interruptible(self, future):
        """Cancel future when the call is cancelled."""
        self.future = future
        if self.interrupted:
            future.cancel()
        return future

    @property
    def is_event(self):
        return "event" in self.header
