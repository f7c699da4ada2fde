"""Children that handlers fork."""

import unittest

from front import Front

SYNC = """
    import os, subprocess, sys, time
    from multiprocessing import get_context

    def square(n):
        print("in a child")
        return n * n

    def handler(event, context):
        what = event["what"]
        if what in ("exit", "return", "raise", "status", "write"):
            child = os.fork()
            if child == 0:
                time.sleep(0.02)
                if what == "return":
                    return "by the child"
                if what == "raise":
                    raise ValueError("of the child")
                if what == "write":
                    for descriptor in range(600, 610):  # the worker's, if they were open
                        try:
                            os.write(descriptor, b"\\0" * 8)
                        except OSError:
                            pass
                    os._exit(0)
                sys.exit(7 if what == "status" else 0)
            _, status = os.waitpid(child, 0)
            return event["n"], os.WEXITSTATUS(status)
        if what == "pool":
            with get_context(event["method"]).Pool(2) as pool:
                return pool.map(square, [2, 3])
        if what == "subprocess":
            return subprocess.run(["sh", "-c", "ls /proc/self/fd | sort -n | tail -1"], capture_output=True, text=True, close_fds=False).stdout.strip()
"""

ASYNC = """
    import asyncio, os

    effects = []

    async def handler(event, context):
        if event["what"] == "count":
            return len(effects)
        if event["what"] == "neighbour":
            await asyncio.sleep(0.3)
            with open(event["file"], "a") as f:
                f.write("x")
            return "neighbour"
        await asyncio.sleep(0.1)
        child = os.fork()
        if child == 0:
            if event["what"] == "await":
                await asyncio.sleep(0.4)
            return "by the child"
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        return event["what"], os.WEXITSTATUS(status)
"""


class Fork(unittest.TestCase):
    def test_a_child_ends_where_it_leaves_the_handler(self):
        with Front(SYNC, slots=3, options=()) as front:
            front.ready()
            for n in range(12):
                what, status = (("exit", 0), ("return", 0), ("raise", 1), ("status", 7), ("write", 0))[n % 5]
                self.assertEqual(front.value({"what": what, "n": n}, slot=1 + n % 3), [n, status])
            self.assertTrue(any(line["message"] == "ValueError: of the child" for line in front.lines()))
            self.assertIsNone(front.process.poll())

    def test_children_of_calls_at_once(self):
        with Front(SYNC, slots=8, options=()) as front:
            front.ready()
            for slot in range(1, 9):
                front.send(slot, {"what": "return", "n": slot})
            self.assertEqual([front.receive(slot)[1] for slot in range(1, 9)], [b"[%d, 0]" % slot for slot in range(1, 9)])

    def test_pools(self):
        for method in "fork", "spawn", "forkserver":
            for slots in 1, 3:
                with self.subTest(method, slots=slots), Front(SYNC, slots=slots, options=()) as front:
                    front.ready()
                    self.assertEqual(front.value({"what": "pool", "method": method}), [4, 9])
                    self.assertEqual(front.value({"what": "exit", "n": 1}), [1, 0])

    def test_programs_do_not_inherit_connections(self):
        with Front(SYNC, slots=3) as front:
            front.ready()
            self.assertLess(int(front.value({"what": "subprocess"})), 600)

    def test_a_task_forks(self):
        with Front(ASYNC, slots=3, options=()) as front:
            front.ready()
            for what in "return", "await":
                file = front.dir.name + "/" + what
                front.send(1, {"what": "neighbour", "file": file})
                # asyncio itself refuses most of what a child may await.
                self.assertEqual(front.value({"what": what}, slot=2), [what, 1 if what == "await" else 0])
                self.assertEqual(front.receive(1)[1], b'"neighbour"')
                with open(file) as f:
                    self.assertEqual(f.read(), "x")  # the child did not go on with the parent's other task


if __name__ == "__main__":
    unittest.main()
