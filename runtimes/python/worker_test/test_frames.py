"""The bytes on connections."""

import os
import socket
import struct
import threading
import unittest

import support  # noqa: F401  puts the worker on the path
from knative_lambda_worker import errors, frames


def frame(header, body=b""):
    return struct.pack(">II", len(header), len(body)) + header + body


WIRE = frame(b'{"kind":"ping","id":1}') + frame(b"", b"chunk") + frame(b"") + frame(b'{"a":1}', b"x" * 100000)
FRAMES = [({"kind": "ping", "id": 1}, b""), (None, b"chunk"), (None, b""), ({"a": 1}, b"x" * 100000)]


class Reading(unittest.TestCase):
    def test_feed(self):
        for size in 1, 7, 4096, len(WIRE):
            feed, found = frames.Feed(), []
            for start in range(0, len(WIRE), size):
                found += feed.feed(WIRE[start:start + size])
            self.assertEqual(found, FRAMES)

    def test_connection(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            connection = frames.Connection(theirs.fileno())
            thread = threading.Thread(target=lambda: (ours.sendall(WIRE), ours.shutdown(socket.SHUT_WR)))
            thread.start()
            found = []
            while True:
                got = connection.read()
                if got is None:
                    break
                found.append(got)
            thread.join()
            self.assertEqual(found, FRAMES)

    def test_broken(self):
        for wire in (struct.pack(">II", frames.MAX_HEADER + 1, 0), frame(b"{bad"), frame(b"\xff")):
            with self.assertRaises(frames.Broken):
                list(frames.Feed().feed(wire))


class Writing(unittest.TestCase):
    def test_frames(self):
        self.assertEqual(frames.head({"kind": "pong", "id": 1}, 0), bytes.fromhex("00000016 00000000") + b'{"kind":"pong","id":1}')
        self.assertEqual(list(frames.chunks(b"hi")), [bytes.fromhex("00000000 00000002 6869")])
        self.assertEqual(frames.END, bytes(8))
        self.assertEqual([len(c) - 8 for c in frames.chunks(b"x" * 140000)], [65536, 65536, 8928])
        self.assertEqual(list(frames.chunks(b"")), [])
        with self.assertRaises(frames.TooLong):
            frames.head({"message": "x" * frames.MAX_HEADER}, 0)

    def test_small_pieces(self):
        # Of what does not fit nothing is lost.
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            connection = frames.Connection(theirs.fileno())
            head, body = os.urandom(20000), os.urandom(300000)
            thread = threading.Thread(target=lambda: (connection.write(head, body), connection.write(head), theirs.shutdown(socket.SHUT_WR)))
            thread.start()
            data = b""
            while True:
                piece = ours.recv(1 << 16)
                if not piece:
                    break
                data += piece
            thread.join()
            self.assertTrue(data == head + body + head)

    def test_closed(self):
        ours, theirs = socket.socketpair()
        with theirs:
            ours.close()
            connection = frames.Connection(theirs.fileno())
            with self.assertRaises(frames.Closed):
                connection.write(b"x")
            self.assertIsNone(connection.read())


class Texts(unittest.TestCase):
    def test_cut(self):
        for text, length, want in (("abc", 3, "abc"), ("abc", 2, "ab"), ("aé", 2, "a"), ("aé", 3, "aé"), ("日本", 5, "日"), ("\ud800", 9, "\\ud800")):
            self.assertEqual(errors.cut(text, length), want)


if __name__ == "__main__":
    unittest.main()
