"""Frames: two lengths, a JSON header and a body."""

import json
import os
import struct

from knative_lambda_worker import fork

MAX_HEADER = 1 << 20
MAX_CHUNK = 64 << 10

_LENGTHS = struct.Struct(">II")
_from_json = json.JSONDecoder().decode
_to_json = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make an encoder for each frame

END = bytes(8)  # the empty chunk


class Broken(Exception):
    """What arrived is not the protocol."""


class Closed(Exception):
    """The runtime has closed the connection."""


class TooLong(Exception):
    """The header of a frame is over the limit."""


def head(header, length):
    """The bytes of a frame before its body, which has that length."""
    text = _to_json(header).encode()
    if len(text) > MAX_HEADER:
        raise TooLong("the header of the reply has %d bytes, expected at most %d" % (len(text), MAX_HEADER))
    return _LENGTHS.pack(len(text), length) + text


def chunks(data):
    """Split data into the frames of chunks."""
    for start in range(0, len(data), MAX_CHUNK):
        piece = data[start:start + MAX_CHUNK]
        yield _LENGTHS.pack(0, len(piece)) + piece


def _header(text):
    if not text:
        return None
    try:
        return _from_json(text.decode())
    except ValueError as e:
        raise Broken("a header is not JSON: %s" % e) from None


class Connection:
    """Reads and writes frames on a descriptor in blocking mode."""

    def __init__(self, descriptor):
        self.descriptor = descriptor
        self._reader = open(descriptor, "rb", 65536, closefd=False)

    def read(self):
        """The next frame, (header, body), whose header is None for a chunk; or None at the end."""
        fork.check()
        try:
            lengths = self._reader.read(8)
            if len(lengths) < 8:
                return None
            header, body = _LENGTHS.unpack(lengths)
            if header > MAX_HEADER:
                raise Broken("a header has %d bytes" % header)
            return _header(self._reader.read(header)), self._reader.read(body) if body else b""
        except OSError as e:
            raise Closed(str(e)) from None

    def write(self, data, body=b""):
        """Write with one system call, if all of it fits."""
        fork.check()
        if len(body) <= 4096:
            data, body = data + body, b""
        try:
            written = os.writev(self.descriptor, (data, body)) if body else os.write(self.descriptor, data)
            for part in (data, body):
                if written < len(part):
                    self._finish(memoryview(part)[written:])
                written = max(0, written - len(part))
        except OSError as e:
            raise Closed(str(e)) from None

    def _finish(self, rest):
        while rest:
            rest = rest[os.write(self.descriptor, rest):]


class Feed:
    """Finds frames in bytes that arrive in pieces."""

    def __init__(self):
        self._buffer = bytearray()

    def feed(self, data):
        """Take what has arrived and yield the frames that are complete by it."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= 8:
            header, body = _LENGTHS.unpack_from(buffer, start)
            if header > MAX_HEADER:
                raise Broken("a header has %d bytes" % header)
            middle, end = start + 8 + header, start + 8 + header + body
            if len(buffer) < end:
                break
            yield _header(bytes(buffer[start + 8:middle])), bytes(buffer[middle:end])
            start = end
        if start:
            del buffer[:start]
