"""The handler of the contract's tests, in Python."""

import os
import sys
import time

from lambda_runtime import CloudEvent, PermanentError


class Own(Exception):
    permanent = True


def returns(what):
    if what == "text":
        return "a text"
    if what == "list":
        return [1, "é"]
    if what == "number":
        return 1.5
    if what == "false":
        return False
    if what == "empty":
        return {}
    if what == "bytes":
        return b"\x00\x01"
    if what == "event":
        return CloudEvent("io.example.reply", {"a": 1})
    if what == "full":
        return CloudEvent("io.example.reply", "text", id="own-id", source="/own", subject="own-subject", time="2026-01-02T00:00:00Z",
                          datacontenttype="text/plain", myext="x", count=3, lambdahops=0)
    if what == "bare":
        return CloudEvent("io.example.reply")
    if what == "nested":
        return CloudEvent("io.example.reply", {"specversion": "1.0", "type": "inner"})
    if what == "invalid":
        return CloudEvent("")
    if what == "bad extension":
        return CloudEvent("io.example.reply", **{"not_valid": "x"})
    if what == "unwritable":
        return {"o": object()}
    if what == "nan":
        return float("nan")
    if what == "long":
        return "x" * (2 << 20)
    return None


def fails(what):
    if what == "error":
        raise ValueError("it: failed")
    if what == "permanent":
        raise PermanentError("for good")
    if what == "own":
        raise Own("for good too")
    if what == "exit":
        sys.exit(3)
    if what == "crash":
        os._exit(3)


def handler(event, context):
    if not isinstance(event, dict) or "do" not in event:
        kind = "nothing" if event is None else "bytes" if isinstance(event, bytes) else "value"
        return {"kind": kind, "value": event.decode() if kind == "bytes" else event}
    if event["do"] == "return":
        return returns(event["what"])
    if event["do"] == "fail":
        return fails(event["what"])
    if event["do"] == "log":
        print("printed")
        print("two\nlines", file=sys.stderr)
        context.logger.info("told")
        context.logger.warning("warned")
        context.logger.debug("whispered")
    if event["do"] == "wait":
        open(event["started"], "w").close()
        while not os.path.exists(event["until"]):
            time.sleep(0.001)
        return "done"
    if event["do"] == "context":
        return {"id": context.id, "type": context.type, "source": context.source, "subject": context.subject, "time": context.time,
                "extensions": context.extensions, "remaining": 15 < context.remaining_time() <= 20, "method": context.method, "path": context.path,
                "header": context.headers.get("x-own"), "traceparent": context.traceparent, "trace": context.trace_id,
                "name": context.function_name, "namespace": context.function_namespace}
