"""Many calls at once, and what one of them may do to the others."""

import json
import time
import unittest

from front import Front

SYNC = """
    import os, threading, time

    release = threading.Event()

    def handler(event, context):
        if event == "hang":
            release.wait(60)
        elif event == "release":
            release.set()
        elif event == "die":
            os._exit(3)
        elif event == "cancelled":
            return context.cancelled.wait(20), bool(context.cancelled)
        elif event == "where":
            return threading.current_thread() is threading.main_thread()
        else:
            time.sleep(event)
        return event
"""

ASYNC = """
    import asyncio, os, time

    released = asyncio.Event()

    async def handler(event, context):
        if event == "hang":
            await released.wait()
        elif event == "release":
            released.set()
        elif event == "die":
            os._exit(3)
        elif event == "block":
            time.sleep(4.2)
        elif event == "exit":
            raise SystemExit(4)
        elif event == "stubborn":
            try:
                await asyncio.sleep(20)
            except asyncio.CancelledError:
                return bool(context.cancelled)
        else:
            await asyncio.sleep(event)
        return event
"""


class Concurrency(unittest.TestCase):
    def test_fifty_calls_wait_at_once(self):
        for name, code in ("threads", SYNC), ("tasks", ASYNC):
            with self.subTest(name), Front(code) as front:
                front.ready()
                begin = time.monotonic()
                ids = [front.send(slot, 1) for slot in range(1, 51)]
                answers = [front.receive(slot) for slot in range(1, 51)]
                self.assertEqual([(h["kind"], h["id"], b) for h, b in answers], [("result", i, b"1") for i in ids])
                self.assertLess(time.monotonic() - begin, 4)  # one after another they take 50 s

    def test_a_hanging_call_holds_up_no_other(self):
        for name, code in ("threads", SYNC), ("tasks", ASYNC):
            with self.subTest(name), Front(code, slots=51) as front:
                front.ready()
                hanging = front.send(51, "hang")
                for _ in range(2):
                    for slot in range(1, 51):
                        front.send(slot, 0)
                    self.assertEqual([front.receive(slot)[1] for slot in range(1, 51)], [b"0"] * 50)
                # Its answer comes late, on its own slot, which is used again.
                front.value("release")
                self.assertEqual(front.receive(51), ({"kind": "result", "id": hanging, "contentType": "application/json"}, b'"hang"'))
                self.assertEqual(front.value(0, slot=51), 0)

    def test_death_closes_all_connections(self):
        for name, code in ("threads", SYNC), ("tasks", ASYNC):
            with self.subTest(name), Front(code, slots=3) as front:
                front.ready()
                front.send(1, "hang")
                front.send(2, "die")
                for slot in (1, 2):
                    with self.assertRaises((EOFError, ConnectionResetError)):
                        front.receive(slot)
                self.assertEqual(front.process.wait(20), 3)

    def test_the_invoke_may_come_before_the_open(self):
        with Front(SYNC, slots=3) as front:
            front.ready()
            front._opened.add(2)
            front.send(2, "early")
            self.assertTrue(front.idle(2))
            front.control.send({"kind": "open", "slot": 2})
            front.connections[2].receive()

    def test_slots_that_are_not_open_have_no_thread(self):
        with Front("import threading\ndef handler(event, context):\n    return sorted(t.name for t in threading.enumerate())\n") as front:
            front.ready()
            self.assertEqual(front.value(), ["MainThread", "control", "slot-1"])

    def test_one_slot_is_served_in_the_main_thread(self):
        code = "import signal\ndef handler(event, context):\n    signal.signal(signal.SIGALRM, lambda *_: None)\n    return 'set'\n"
        with Front(code, slots=1) as front:
            front.ready()
            self.assertEqual(front.value(), "set")
            self.assertEqual(front.value(), "set")
            self.assertEqual(front.stop(), 0)
        with Front(code) as front:
            front.ready()
            header, _ = front.call()
            self.assertEqual(header["type"], "ValueError")
            self.assertRegex(header["message"], "main thread.*set spec.runtime.isolation: exclusive")

    def test_connections_of_threads_carry_the_hint(self):
        with Front("import sqlite3\ndb = sqlite3.connect(':memory:')\ndef handler(event, context):\n    db.execute('select 1')\n") as front:
            front.ready()
            header, _ = front.call()
            self.assertEqual(header["type"], "ProgrammingError")
            self.assertIn("set spec.runtime.isolation: exclusive", header["message"])

    def test_switch_interval_where_threads_run(self):
        with Front("import sys\ndef handler(event, context):\n    return sys.getswitchinterval()\n") as front:
            front.ready()
            self.assertEqual(front.value(), 0.001)

    def test_imports_nothing_slow(self):
        # Cold starts pay for each of these, which only some functions need.
        code = """
            import sys
            SLOW = sorted({"asyncio", "inspect", "socket", "base64", "subprocess", "email", "http", "urllib", "typing"} & set(sys.modules))
            def handler(event, context):
                return SLOW
        """
        with Front(code) as front:
            front.ready()
            self.assertEqual(front.value(), [])


class Cancellation(unittest.TestCase):
    def test_a_def_handler_sees_it(self):
        with Front(SYNC, slots=2) as front:
            front.ready()
            number = front.send(1, "cancelled")
            front.cancel(1, number + 1, "timeout")  # of a call that is not open
            self.assertTrue(front.idle(1))
            front.cancel(1, number, "timeout")
            self.assertEqual(json.loads(front.receive(1)[1]), [True, True])

    def test_an_async_handler_is_cancelled_at_the_timeout(self):
        with Front(ASYNC, slots=2) as front:
            front.ready()
            number = front.send(1, 30)
            front.value(0, slot=2)
            front.cancel(1, number, "timeout")
            header, _ = front.receive(1)
            self.assertEqual((header["kind"], header["id"], header["type"]), ("error", number, "Cancelled"))
            number = front.send(1, "stubborn")
            front.value(0, slot=2)
            front.cancel(1, number, "timeout")
            self.assertEqual(front.receive(1)[1], b"true")
            self.assertNotIn("ERROR", front.text())

    def test_an_async_handler_may_go_on_after_the_client_has_left(self):
        with Front(ASYNC, slots=2) as front:
            front.ready()
            number = front.send(1, 0.5)
            front.cancel(1, number, "disconnect")
            self.assertEqual(front.receive(1)[1], b"0.5")

    def test_a_coroutine_of_a_def_handler_is_cancelled(self):
        code = "import asyncio\ndef handler(event, context):\n    return asyncio.sleep(event, event)\n"
        with Front(code, slots=2) as front:
            front.ready()
            number = front.send(1, 30)
            self.assertEqual(front.value(0, slot=2), 0)
            front.cancel(1, number, "timeout")
            self.assertEqual(front.receive(1)[0]["type"], "Cancelled")
            self.assertEqual(front.value(0), 0)


    def test_it_may_come_before_the_call(self):
        for name, code in ("threads", SYNC), ("tasks", ASYNC):
            with self.subTest(name), Front(code, slots=2) as front:
                front.ready()
                front.control.send({"kind": "open", "slot": 1})
                front._opened.add(1)
                front.cancel(1, 1, "timeout")
                time.sleep(0.2)
                front.send(1, "cancelled" if name == "threads" else "stubborn")
                front.receive(1)


class Control(unittest.TestCase):
    def test_pong_of_threads_comes_while_handlers_run(self):
        with Front(SYNC, slots=2) as front:
            front.ready()
            front.send(1, "hang")
            front.control.send({"kind": "ping", "id": 7})
            self.assertEqual(front.control.receive()[0], {"kind": "pong", "id": 7})

    def test_a_blocked_loop_is_logged_with_its_stack(self):
        with Front(ASYNC, slots=2) as front:
            front.ready()
            front.send(1, "block")
            time.sleep(1)  # until it blocks
            front.control.send({"kind": "ping", "id": 7})
            self.assertEqual(front.receive(1)[1], b'"block"')
            self.assertEqual(front.control.receive()[0], {"kind": "pong", "id": 7})
            line = front.line(severity="WARNING", logger="runtime")
            self.assertIn("blocked for 2 seconds", line["message"])
            self.assertIn("time.sleep(4.2)", line["exception"])
            front.control.send({"kind": "ping", "id": 8})
            self.assertEqual(front.control.receive()[0], {"kind": "pong", "id": 8})

    def test_stopping_is_reported_and_calls_go_on(self):
        for name, code in (("threads", "def handler(event, context):\n    return context.stopping.wait(0 if event else 20)\n"),
                           ("tasks", "import asyncio\nasync def handler(event, context):\n    return await asyncio.to_thread(context.stopping.wait, 0 if event else 20)\n")):
            with self.subTest(name), Front(code, slots=2) as front:
                front.ready()
                self.assertIs(front.value(True), False)
                front.send(1)
                front.control.send({"kind": "drain", "timeout": 1000})
                self.assertEqual(front.receive(1)[1], b"true")
                self.assertIs(front.value(True), True)

    def test_unknown_frames_and_fields_are_ignored(self):
        with Front(SYNC, slots=2) as front:
            front.ready()
            front.control.send({"kind": "from the future", "x": 1})
            self.assertEqual(front.value(0, fromTheFuture={}), 0)

    def test_the_end_runs_what_python_runs_at_exit(self):
        for slots in (1, 3):
            with self.subTest(slots=slots), Front("import atexit\natexit.register(print, 'bye')\ndef handler(event, context): pass\n", slots=slots) as front:
                front.ready()
                self.assertIsNone(front.value())
                self.assertEqual(front.stop(), 0)
                self.assertEqual(front.line(message="bye")["logger"], "stdout")

    def test_an_exit_in_a_task_of_no_call_retires_the_worker(self):
        code = """
            import asyncio, sys

            async def exit():
                sys.exit(5)

            async def handler(event, context):
                if event:
                    handler.task = asyncio.ensure_future(exit())
                await asyncio.sleep(0.1)
                return "done"
        """
        with Front(code, slots=2) as front:
            front.ready()
            self.assertEqual(front.value(True), "done")
            header, _ = front.control.receive()
            self.assertEqual((header["kind"], header["message"]), ("retire", "a task of the event loop raised SystemExit"))
            self.assertEqual(front.value(False), "done")

    def test_an_exit_fails_its_call_only(self):
        with Front(ASYNC, slots=2) as front:
            front.ready()
            header, _ = front.call("exit")
            self.assertEqual((header["kind"], header["type"], header["message"]), ("error", "SystemExit", "4"))
            self.assertEqual(front.value(0), 0)


if __name__ == "__main__":
    unittest.main()
