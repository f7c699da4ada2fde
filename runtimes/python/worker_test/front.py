"""A small front for tests: a worker process, seen from the runtime's end of its
connections."""

import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import time

from support import WORKER

TIMEOUT = 30  # seconds until a test gives up


class Front:
    """A worker of protocol 2. code is that of main.py, or of several files by path."""

    def __init__(self, code, handler="main.handler", slots=50, path=None, options=("-W", "error"), **environ):
        self.dir = tempfile.TemporaryDirectory()
        self.write(code if isinstance(code, dict) else {"main.py": code})
        pairs = [socket.socketpair() for _ in range(1 + slots)]
        # They have to be consecutive in the worker, as descriptors above all that are in use.
        first = 600
        theirs = []
        for i, (_, end) in enumerate(pairs):
            theirs.append(first + i)
            os.dup2(end.fileno(), first + i, inheritable=True)
            end.close()
        self.connections = [Connection(ours) for ours, _ in pairs]
        self.control = self.connections[0]
        self.log = tempfile.TemporaryFile()
        environ = {**os.environ, "LAMBDA_HANDLER": handler, "LAMBDA_TASK_ROOT": self.dir.name, "LAMBDA_WORKER_FD": str(first),
                   "LAMBDA_WORKER_SLOTS": str(slots), **environ}
        self.process = subprocess.Popen([sys.executable, "-u", *options, os.path.join(path or WORKER, "worker.py")], env=environ, pass_fds=theirs,
                                        cwd=self.dir.name, stdout=self.log, stderr=self.log)
        for descriptor in theirs:
            os.close(descriptor)
        self._opened = set()
        self._id = 0

    def write(self, files):
        for name, text in files.items():
            path = os.path.join(self.dir.name, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f:
                f.write(textwrap.dedent(text))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.kill()
        self.process.wait()
        for connection in self.connections:
            connection.close()
        if kind is not None:
            sys.stderr.write(self.text())
        self.log.close()
        self.dir.cleanup()

    def ready(self):
        """Wait until the handler is loaded."""
        header, _ = self.control.receive()
        if header["kind"] != "ready":
            raise AssertionError(header)
        return header

    def send(self, slot, value=None, body=None, **fields):
        """Begin a call. value is sent as JSON. Return its id."""
        if slot not in self._opened:
            self._opened.add(slot)
            self.control.send({"kind": "open", "slot": slot})
        self._id += 1
        header = {"kind": "invoke", "id": self._id, "timeout": 10000, "method": "POST", "path": "/", "headers": [["host", "f.example"]]}
        if body is None:
            body = b"" if value is None else json.dumps(value).encode()
            header["contentType"] = "application/json"
        header.update(fields)
        self.connections[slot].send(header, body)
        return self._id

    def receive(self, slot):
        """The next frame of a slot: (header, body)."""
        return self.connections[slot].receive()

    def call(self, value=None, body=None, slot=1, **fields):
        """A call and its answer: (header, whole body)."""
        number = self.send(slot, value, body, **fields)
        header, data = self.receive(slot)
        if header["id"] != number:
            raise AssertionError("the answer to call %d has the header %r" % (number, header))
        while header.get("more"):
            part, piece = self.receive(slot)
            if part is not None:
                return {**header, "tail": part}, data
            if not piece:
                break
            data += piece
        return header, data

    def value(self, value=None, **fields):
        """The value that a call is answered with."""
        header, body = self.call(value, **fields)
        if header["kind"] != "result":
            raise AssertionError(header)
        return json.loads(body) if body else None

    def cancel(self, slot, number, reason):
        self.control.send({"kind": "cancel", "slot": slot, "id": number, "reason": reason})

    def idle(self, slot, seconds=0.3):
        """Whether nothing arrives on a slot for some time."""
        return not self.connections[slot].poll(seconds)

    def text(self):
        """The log so far."""
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace")

    def lines(self):
        return [json.loads(line) for line in self.text().splitlines()]

    def line(self, **fields):
        """Wait for a line of the log that has these fields."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            for line in self.lines():
                if all(line.get(k) == v for k, v in fields.items()):
                    return line
            time.sleep(0.02)
        raise AssertionError("no line has %r:\n%s" % (fields, self.text()))

    def stop(self):
        """Close all connections and return the worker's exit status."""
        for connection in self.connections:
            connection.close()
        return self.process.wait(TIMEOUT)


class Connection:
    def __init__(self, end):
        end.settimeout(TIMEOUT)
        self._socket = end
        self._data = b""

    def send(self, header, body=b""):
        head = json.dumps(header).encode() if header is not None else b""
        self._socket.sendall(struct.pack(">II", len(head), len(body)) + head + body)

    def receive(self):
        head, body = struct.unpack(">II", self._read(8))
        header = self._read(head)
        return json.loads(header) if head else None, self._read(body)

    def _read(self, length):
        while len(self._data) < length:
            data = self._socket.recv(1 << 20)
            if not data:
                raise EOFError("the worker has closed the connection")
            self._data += data
        found, self._data = self._data[:length], self._data[length:]
        return found

    def poll(self, seconds):
        return bool(self._data or select.select([self._socket], [], [], seconds)[0])

    def push(self, data, seconds):
        """Send as much of data as is taken within some time; return how much that is."""
        sent, deadline = 0, time.monotonic() + seconds
        while sent < len(data) and time.monotonic() < deadline:
            if select.select([], [self._socket], [], 0.05)[1]:
                sent += self._socket.send(data[sent:sent + 65536], socket.MSG_DONTWAIT)
        return sent

    def close(self):
        self._socket.close()
