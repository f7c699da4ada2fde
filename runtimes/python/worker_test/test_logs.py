"""What functions log and print, and which call it is attributed to."""

import unittest

from front import Front

EVENT = {"specversion": "1.0", "source": "/s", "type": "t"}

CODE = """
    import logging, sys, threading, time

    barrier = threading.Barrier(2)

    def handler(event, context):
        what = event["what"]
        if what == "log":
            print("printed")
            print("two\\nlines", file=sys.stderr)
            context.logger.info("logged")
            context.logger.debug("hidden")
            sys.stdout.write("unfinished")
            sys.stdout.buffer.write(b" \\xff")
            try:
                1 / 0
            except ZeroDivisionError:
                logging.exception("caught")
        elif what == "pieces":  # of two calls, in turns
            for piece in "a", "b", "c", "\\n":
                barrier.wait(20)
                print(piece + context.id if piece != "\\n" else piece, end="")
        elif what == "thread":
            thread = threading.Thread(target=print, args=("from a thread",))
            thread.start()
            thread.join()
        elif what == "threads":
            barrier.wait(20)
            thread = threading.Thread(target=print, args=("from a thread of " + context.id,))
            thread.start()
            thread.join()
            barrier.wait(20)
"""


class Lines(unittest.TestCase):
    def test_lines_name_their_event_and_trace(self):
        with Front(CODE, slots=2) as front:
            front.ready()
            front.value({"what": "log"}, event=dict(EVENT, id="1"), traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            for message, severity, logger in (("printed", "INFO", "stdout"), ("two", "WARNING", "stderr"), ("lines", "WARNING", "stderr"),
                                              ("logged", "INFO", "function"), ("unfinished \ufffd", "INFO", "stdout"), ("caught", "ERROR", "root")):
                line = front.line(message=message)
                self.assertRegex(line.pop("timestamp"), r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ$")
                self.assertEqual("exception" in line, message == "caught")
                self.assertIn("ZeroDivisionError", line.pop("exception", "ZeroDivisionError"))
                self.assertEqual(line, {"severity": severity, "logger": logger, "message": message, "event_id": "1", "event_type": "t",
                                        "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"})
            self.assertNotIn("hidden", front.text())

    def test_trace_context_can_be_left_out(self):
        with Front(CODE, slots=2, LAMBDA_LOG_TRACE_CONTEXT="false") as front:
            front.ready()
            front.value({"what": "log"}, event=dict(EVENT, id="1"), traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            self.assertNotIn("trace_id", front.line(message="logged"))

    def test_lines_of_calls_at_once_do_not_mix(self):
        for name, code in (("threads", CODE), ("tasks", """
                import asyncio

                async def handler(event, context):
                    for piece in "a", "b", "c", "\\n":
                        await asyncio.sleep(0.05)
                        print(piece + context.id if piece != "\\n" else piece, end="")
                """)):
            with self.subTest(name), Front(code, slots=2) as front:
                front.ready()
                for slot in 1, 2:
                    front.send(slot, {"what": "pieces"}, event=dict(EVENT, id=str(slot)))
                for slot in 1, 2:
                    front.receive(slot)
                for number in "1", "2":
                    self.assertEqual(front.line(event_id=number)["message"], "a%sb%sc%s" % (number, number, number))

    def test_threads_of_handlers(self):
        with Front(CODE, slots=2) as front:
            front.ready()
            front.value({"what": "thread"}, event=dict(EVENT, id="1"))
            self.assertEqual(front.line(message="from a thread")["event_id"], "1")
            for slot in 1, 2:
                front.send(slot, {"what": "threads"}, event=dict(EVENT, id=str(slot)))
            for slot in 1, 2:
                front.receive(slot)
            for number in "1", "2":  # never that of another call
                self.assertIn(front.line(message="from a thread of " + number).get("event_id"), (None, number))

    def test_errors_are_logged_once(self):
        with Front("def handler(event, context):\n    raise ValueError('no')\n", slots=2) as front:
            front.ready()
            front.call(event=dict(EVENT, id="1"))
            line = front.line(severity="ERROR")
            self.assertEqual((line["message"], line["logger"], line["event_id"]), ("ValueError: no", "function", "1"))
            self.assertIn('main.py", line 2, in handler', line["exception"])
            self.assertNotIn("knative_lambda_worker", line["exception"])
            self.assertEqual(len(front.lines()), 2)

    def test_text(self):
        with Front(CODE, slots=2, LAMBDA_LOG_FORMAT="text", LAMBDA_LOG_LEVEL="debug") as front:
            front.ready()
            front.value({"what": "log"})
            front.stop()
            self.assertRegex(front.text(), r"(?m)^printed$")
            self.assertRegex(front.text(), r"(?m)^20.* DEBUG function: hidden$")


# Handlers of the function's own that write to its streams: what they write is logged
# once more, and nothing loops.
HANDLERS = {
    "a StreamHandler beside ours": "logging.getLogger().addHandler(logging.StreamHandler(sys.stdout))",
    "a StreamHandler that writes to stderr": "logging.getLogger().addHandler(logging.StreamHandler())",
    "basicConfig": "logging.basicConfig(stream=sys.stdout, level=logging.INFO)",
    "basicConfig by force": "logging.basicConfig(stream=sys.stdout, level=logging.INFO, force=True)",
    "dictConfig as Django has it": "import logging.config; logging.config.dictConfig({'version': 1, 'disable_existing_loggers': False, 'handlers': "
                                   "{'console': {'class': 'logging.StreamHandler'}}, 'root': {'handlers': ['console'], 'level': 'INFO'}})",
    "a handler that prints": "H = type('H', (logging.Handler,), {'emit': lambda self, record: print(record.getMessage())}); logging.getLogger().addHandler(H())",
    "a stream that logs": "W = type('W', (), {'write': lambda self, text: text.strip() and logging.info(text.strip()), 'flush': lambda self: None}); sys.stdout = W()",
    "a handler that fails": "H = type('H', (logging.Handler,), {'emit': lambda self, record: 1 / 0}); logging.getLogger().addHandler(H())",
    "stdout that is closed": "sys.stdout.close(); sys.stdout = sys.stderr",
    "stdout that is reconfigured": "sys.stdout.reconfigure(encoding='latin-1', errors='replace', line_buffering=False)",
}


class OwnHandlers(unittest.TestCase):
    def test_nothing_loops(self):
        for name, setup in HANDLERS.items():
            code = "import logging, os, sys\n%s\ndef handler(event, context):\n" % setup + \
                "    try:\n        logging.info('parcel %s arrived', event['n'])\n    except ZeroDivisionError:\n        pass\n" + \
                "    print('shelf', event['n'])\n    return {'n': event['n'], 'pid': os.getpid()}\n"
            with self.subTest(name), Front(code, slots=2) as front:
                front.ready()
                for n in range(3):
                    self.assertEqual(front.value({"n": n}), {"n": n, "pid": front.process.pid})
                messages = [line["message"] for line in front.lines()]
                for n in range(3):
                    found = sum("parcel %d arrived" % n in m for m in messages)
                    self.assertTrue(1 <= found <= 3, messages)
                self.assertTrue(any("shelf" in m for m in messages), messages)
                self.assertLess(len(messages), 100)
                self.assertNotIn("Recursion", front.text())

    def test_structlog_and_loguru(self):
        for module, setup, call in (("structlog", "log = structlog.get_logger()", "log.info('parcel arrived', n=event['n'])"),
                                    ("loguru", "from loguru import logger; logger.remove(); logger.add(sys.stdout)", "logger.info('parcel arrived')")):
            with self.subTest(module):
                try:
                    __import__(module)
                except ImportError:
                    self.skipTest("%s is not installed" % module)
                with Front("import sys, %s\n%s\ndef handler(event, context):\n    %s\n    return event\n" % (module, setup, call), slots=2, options=()) as front:
                    front.ready()
                    for n in range(3):
                        self.assertEqual(front.value({"n": n}), {"n": n})
                    self.assertEqual(sum("parcel arrived" in line["message"] for line in front.lines()), 3)

    def test_long_and_odd_lines(self):
        code = """
            import sys
            def handler(event, context):
                print("x" * (2 << 20))
                print("\\ud800", "\\0")
                for _ in range(100000):
                    sys.stdout.write(".")
        """
        with Front(code, slots=2) as front:
            front.ready()
            self.assertIsNone(front.value())
            front.line(message="x" * (2 << 20))
            front.line(message="." * 100000)
            front.line(message="\\ud800 \0")


if __name__ == "__main__":
    unittest.main()
