"""The worker as a process, from the other end of its socket."""

import json
import unittest

from support import Process

ECHO = """
def handler(event, context):
    print("called")
    return [event, context.id, context.subject, context.remaining_time() > 0]
"""


class Protocol(unittest.TestCase):
    def test_ready_then_results_until_the_end(self):
        with Process(ECHO) as worker:
            self.assertEqual(worker.receive(), ({"kind": "ready"}, b""))
            for number in (7, 8):
                worker.send({"kind": "invoke", "id": number, "timeout": 1000, "contentType": "application/json", "event": {"id": "e", "subject": "s"}}, b'{"a": 1}')
                header, body = worker.receive()
                self.assertEqual(header, {"kind": "result", "id": number, "contentType": "application/json"})
                self.assertEqual(json.loads(body), [{"a": 1}, "e", "s", True])
            status, stderr = worker.end()
            self.assertEqual(status, 0)
            self.assertEqual([json.loads(line)["message"] for line in stderr.splitlines()], ["called", "called"])

    def test_unknown_fields_are_ignored(self):
        with Process(ECHO) as worker:
            worker.receive()
            worker.send({"kind": "invoke", "id": 1, "timeout": 1000, "fromTheFuture": {}})
            self.assertEqual(worker.receive()[0]["kind"], "result")

    def test_large_bodies(self):
        with Process("def handler(event, context):\n    return event\n") as worker:
            worker.receive()
            body = bytes(range(256)) * 8192
            worker.send({"kind": "invoke", "id": 1, "timeout": 1000, "contentType": "application/octet-stream"}, body)
            self.assertEqual(worker.receive(), ({"kind": "result", "id": 1, "contentType": "application/octet-stream"}, body))

    def test_errors(self):
        with Process("def handler(event, context):\n    raise ValueError('no')\n") as worker:
            worker.receive()
            worker.send({"kind": "invoke", "id": 1, "timeout": 1000})
            header, body = worker.receive()
            self.assertIn("ValueError: no", header.pop("stack"))
            self.assertEqual((header, body), ({"kind": "error", "id": 1, "type": "ValueError", "message": "no", "permanent": False}, b""))
            worker.send({"kind": "invoke", "id": 2, "timeout": 1000, "contentType": "application/json"}, b"{")
            header, _ = worker.receive()
            self.assertEqual((header["id"], header["type"], header["badInput"]), (2, "InvalidRequest", True))

    def test_failed(self):
        with Process("def other(): pass\n") as worker:
            header, _ = worker.receive()
            self.assertEqual(header, {"kind": "failed", "message": 'handler "main.handler" not found: module "main" defines other; set spec.runtime.handler'})
            status, _ = worker.end()
            self.assertEqual(status, 1)

    def test_imports_nothing_slow(self):
        # Cold starts pay for each of these, which only some functions need.
        code = "import sys\nSLOW = sorted({'asyncio', 'inspect', 'socket', 'base64', 'subprocess', 'email', 'http'} & set(sys.modules))\ndef handler(event, context):\n    return SLOW\n"
        with Process(code) as worker:
            worker.receive()
            worker.send({"kind": "invoke", "id": 1, "timeout": 1000})
            self.assertEqual(worker.receive()[1], b"[]")


if __name__ == "__main__":
    unittest.main()
