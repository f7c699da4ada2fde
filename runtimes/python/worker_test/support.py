"""Puts the worker on the path, and talks with one over its socket."""

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile

WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "worker")
sys.path.insert(0, WORKER)


class Process:
    """A worker process, seen from the runtime's end of the socket."""

    def __init__(self, code, handler="main.handler", **environ):
        self.dir = tempfile.TemporaryDirectory()
        with open(os.path.join(self.dir.name, "main.py"), "w") as f:
            f.write(code)
        ours, theirs = socket.socketpair()
        self.socket = ours
        self.reader = ours.makefile("rb")
        with theirs:
            environ.update(LAMBDA_HANDLER=handler, LAMBDA_TASK_ROOT=self.dir.name, LAMBDA_WORKER_FD=str(theirs.fileno()))
            self.process = subprocess.Popen([sys.executable, "-u", os.path.join(WORKER, "worker.py")], env=dict(os.environ, **environ),
                                            pass_fds=[theirs.fileno()], stderr=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.reader.close()
        self.socket.close()
        self.process.kill()
        self.process.communicate()
        self.dir.cleanup()

    def send(self, header, body=b""):
        head = json.dumps(header).encode()
        self.socket.sendall(struct.pack(">II", len(head), len(body)) + head + body)

    def receive(self):
        head, body = struct.unpack(">II", self.reader.read(8))
        return json.loads(self.reader.read(head)), self.reader.read(body)

    def end(self):
        """Close the connection: (exit status, standard error)."""
        self.reader.close()
        self.socket.close()
        _, stderr = self.process.communicate(timeout=20)
        return self.process.returncode, stderr.decode()
