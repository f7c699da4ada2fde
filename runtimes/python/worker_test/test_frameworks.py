"""Applications of frameworks."""

import json
import unittest

from front import Front


def framework(name):
    try:
        return __import__(name)
    except ImportError:
        raise unittest.SkipTest("%s is not installed" % name) from None


FASTAPI = """
    import asyncio
    from fastapi import BackgroundTasks, FastAPI, Request
    from fastapi.responses import StreamingResponse

    app = FastAPI()
    started = []

    @app.on_event("startup")
    async def start():
        started.append("started")

    @app.on_event("shutdown")
    async def stop():
        print("stopped")

    @app.get("/items/{number}")
    async def item(number: int, q: str = ""):
        return {"number": number, "q": q, "started": started}

    @app.get("/blocking")
    def blocking():
        return "in a thread"

    @app.post("/upload")
    async def upload(request: Request):
        return {"length": len(await request.body()), "client": request.client.host if request.client else None}

    @app.get("/stream")
    async def stream():
        async def numbers():
            for i in range(3):
                yield "%d\\n" % i
        return StreamingResponse(numbers(), media_type="text/plain")

    @app.get("/after")
    async def after(tasks: BackgroundTasks):
        async def work():
            await asyncio.sleep(1)
            print("worked")
        tasks.add_task(work)
        return "before"

    @app.get("/endless")
    async def endless():
        async def numbers():
            try:
                while True:
                    yield "x" * 1000
                    await asyncio.sleep(0.01)
            finally:
                print("closed")
        return StreamingResponse(numbers())
"""


class Frameworks(unittest.TestCase):
    """Applications of frameworks, unmodified."""

    def test_fastapi(self):
        framework("fastapi")
        with Front(FASTAPI, "main.app", slots=3, options=()) as front:
            self.assertEqual(front.ready()["interface"], "asgi")
            header, body = front.call(method="GET", path="/items/7", query=[["q", "é"]])
            self.assertEqual((header["status"], json.loads(body)), (200, {"number": 7, "q": "é", "started": ["started"]}))
            self.assertEqual(front.call(method="GET", path="/items/x")[0]["status"], 422)
            self.assertEqual(front.call(method="GET", path="/absent")[0]["status"], 404)
            self.assertEqual(front.call(method="GET", path="/blocking")[1], b'"in a thread"')
            self.assertEqual(json.loads(front.call(body=b"x" * 200000, path="/upload")[1]), {"length": 200000, "client": None})
            header, body = front.call(method="GET", path="/stream")
            self.assertEqual((header["more"], body), (True, b"0\n1\n2\n"))
            # Background tasks of one call do not hold up the next one.
            for _ in range(3):
                self.assertEqual(front.call(method="GET", path="/after")[1], b'"before"')
            self.assertNotIn("worked", front.text())
            front.line(message="worked")
            number = front.send(1, method="GET", path="/endless")
            front.receive(1)
            front.cancel(1, number, "disconnect")
            front.line(message="closed")
            while True:
                header, body = front.receive(1)
                if header is not None or not body:
                    break
            self.assertEqual(front.call(method="GET", path="/blocking")[1], b'"in a thread"')
            self.assertEqual(front.stop(), 0)
            front.line(message="stopped")

    def test_flask(self):
        framework("flask")
        code = """
            from flask import Flask, Response, make_response, request, session

            app = Flask(__name__)
            app.secret_key = "x"

            @app.route("/items/<int:number>", methods=["GET", "POST"])
            def item(number):
                session["seen"] = number
                return {"number": number, "args": request.args, "form": request.form, "url": request.url}

            @app.route("/stream")
            def stream():
                return Response((str(i) for i in range(3)), mimetype="text/plain")

            @app.route("/error")
            def error():
                raise ValueError("no")
        """
        with Front(code, "main.app", slots=3, options=()) as front:
            self.assertEqual(front.ready()["interface"], "wsgi")
            header, body = front.call(body=b"f=1", path="/items/7", query=[["q", "é"]],
                                      headers=[["host", "f.example"], ["content-type", "application/x-www-form-urlencoded"]])
            self.assertEqual((header["status"], header.get("more"), json.loads(body)),
                             (200, None, {"number": 7, "args": {"q": "é"}, "form": {"f": "1"}, "url": "http://f.example/items/7?q=é"}))
            self.assertTrue(any(n.lower() == "set-cookie" and v.startswith("session=") for n, v in header["headers"]))
            self.assertEqual(front.call(method="GET", path="/absent")[0]["status"], 404)
            self.assertEqual(front.call(method="GET", path="/error")[0]["status"], 500)
            self.assertIn("ValueError: no", front.text())
            header, body = front.call(method="GET", path="/stream")
            self.assertEqual((header["more"], body), (True, b"012"))

    def test_django(self):
        framework("django")
        code = """
            from django.conf import settings
            settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
            from django.core.asgi import get_asgi_application
            from django.core.wsgi import get_wsgi_application
            from django.http import JsonResponse
            from django.urls import path

            urlpatterns = [path("items/<int:number>", lambda request, number: JsonResponse({"number": number, "q": request.GET.get("q")}))]
            wsgi = get_wsgi_application()
            asgi = get_asgi_application()
        """
        for kind in "wsgi", "asgi":
            with self.subTest(kind), Front(code, "main." + kind, slots=2, options=()) as front:
                self.assertEqual(front.ready()["interface"], kind)
                header, body = front.call(method="GET", path="/items/7", query=[["q", "é"]])
                self.assertEqual((header["status"], json.loads(body)), (200, {"number": 7, "q": "é"}))


if __name__ == "__main__":
    unittest.main()
