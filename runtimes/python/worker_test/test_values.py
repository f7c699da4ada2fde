"""Decoding of requests and encoding of what handlers return, as tables."""

import dataclasses
import datetime
import decimal
import io
import json
import unittest
import uuid

import support  # noqa: F401  puts the worker on the path
from knative_lambda import CloudEvent, Response
from knative_lambda_worker import decoding, encoding
from knative_lambda_worker.errors import BadInput, InvalidReply

JSON = "application/json"
BYTES = "application/octet-stream"
FORM = "application/x-www-form-urlencoded"


class Decode(unittest.TestCase):
    def test_by_content_type(self):
        for content_type, body, want in (
            (JSON, b'{"a": [1, null]}', {"a": [1, None]}),
            ("Application/JSON ; charset=utf-8", b"1", 1),
            ("application/cloudevents+json", b"{}", {}),
            (JSON, b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
            (JSON, b"12345678901234567890", 12345678901234567890),
            ("", b"[1]", [1]),
            ("", b"\xff", b"\xff"),
            ("", b"NaN", b"NaN"),
            ("text/plain", "é".encode(), "é"),
            ("text/csv; header=present; charset=\"utf-16\"", "é".encode("utf-16"), "é"),
            ("application/xml", b"<a/>", "<a/>"),
            ("image/png", b"\x89PNG", b"\x89PNG"),
            (JSON, b"", None),
            ("text/plain", b"", None),
        ):
            with self.subTest(content_type=content_type, body=body):
                self.assertEqual(decoding.decode(content_type, body), want)

    def test_refuses_what_is_not_what_it_says(self):
        for content_type, body in ((JSON, b"{"), (JSON, b"[" * 100000), (JSON, b'{"temp": NaN}'), (JSON, b"[Infinity]"), (JSON, b"-Infinity"),
                                   (JSON, '{"a": 1}'.encode("utf-16")), (JSON, '{"a": 1}'.encode("utf-16-le")), (JSON, b'"\xff"'), (JSON, b"1 2"),
                                   ("text/plain", b"\xff"), ("text/plain; charset=none", b"x")):
            with self.subTest(content_type=content_type, body=body[:10]):
                with self.assertRaisesRegex(BadInput, "announces"):
                    decoding.decode(content_type, body)

    def test_forms(self):
        header = {"contentType": FORM, "form": [["a", "1"], ["b", "2"], ["a", "3"], ["a", "4"]]}
        self.assertEqual(decoding.decode_request(header, b"a=1&b=2&a=3&a=4"), {"a": ["1", "3", "4"], "b": "2"})
        self.assertEqual(decoding.decode_request({"contentType": FORM}, b'{"a": 1}'), {"a": 1})  # as curl -d sends it
        with self.assertRaises(BadInput):
            decoding.decode_request({"contentType": FORM}, b"{bad")

    def test_multipart(self):
        header = {"contentType": "multipart/form-data; boundary=x", "form": [["a", "1"]],
                  "parts": [{"name": "file", "filename": "a.txt", "contentType": "text/plain", "offset": 2, "length": 3}, {"name": "a", "offset": 5, "length": 2},
                            {"name": "b", "contentType": "application/octet-stream", "offset": 7, "length": 1}]}
        fields = decoding.decode_request(header, b"--abc\xc3\xa9\xff")
        file = fields["file"]
        self.assertEqual((file.name, file.filename, file.content_type, file.content), ("file", "a.txt", "text/plain", b"abc"))
        self.assertEqual((fields["a"], fields["b"]), (["1", "é"], b"\xff"))


def encode(value, to_event=False):
    reply = encoding.encode(value, to_event)
    return reply.fields, reply.body


@dataclasses.dataclass
class Point:
    x: int = 1


class Encode(unittest.TestCase):
    def test_values(self):
        for value, fields, body in (
            (None, {}, b""),
            ({}, {"contentType": JSON}, b"{}"),
            ([], {"contentType": JSON}, b"[]"),
            ("a", {"contentType": JSON}, b'"a"'),
            ("", {"contentType": JSON}, b'""'),
            (0, {"contentType": JSON}, b"0"),
            (True, {"contentType": JSON}, b"true"),
            (({1: "a"}, "x"), {"contentType": JSON}, b'[{"1": "a"}, "x"]'),
            (bytearray(b"\x00"), {"contentType": BYTES}, b"\x00"),
            (memoryview(b"\x00"), {"contentType": BYTES}, b"\x00"),
            (b"", {"contentType": BYTES}, b""),
            ({"type": "no event"}, {"contentType": JSON}, b'{"type": "no event"}'),
        ):
            with self.subTest(value=value):
                self.assertEqual(encode(value), (fields, body))

    def test_responses(self):
        text = {"contentType": "text/plain; charset=utf-8"}
        for response, fields, body in (
            (Response(), {"status": 200}, b""),
            (Response(status=204), {"status": 204}, b""),
            (Response({"a": 1}, 201, [("X-A", "1"), ("X-A", "2")], ["s=1; HttpOnly", "t=2"]),
             {"status": 201, "headers": [["X-A", "1"], ["X-A", "2"]], "cookies": ["s=1; HttpOnly", "t=2"], "contentType": JSON}, b'{"a": 1}'),
            (Response(headers={"X-A": ["1", "2"], "X-B": "3"}), {"status": 200, "headers": [["X-A", "1"], ["X-A", "2"], ["X-B", "3"]]}, b""),
            (Response("é", 404), {"status": 404, **text}, "é".encode()),
            (Response("", cookies="a=1"), {"status": 200, "cookies": ["a=1"], **text}, b""),
            (Response(b"x", headers={"Content-Type": "image/png", "X-N": 1}), {"status": 200, "headers": [["Content-Type", "image/png"], ["X-N", "1"]]}, b"x"),
            (Response("<p>", content_type="text/html"), {"status": 200, "contentType": "text/html", "headers": []}, b"<p>"),
        ):
            with self.subTest(body=body, fields=fields):
                self.assertEqual(encode(response), (fields, body))

    def test_replies_as_aws_has_them(self):
        for value, fields, body in (
            ({"statusCode": 302, "headers": {"Location": "https://example.com/"}, "body": ""},
             {"status": 302, "headers": [["Location", "https://example.com/"]]}, b""),
            ({"statusCode": 200, "body": '{"a":1}'}, {"status": 200, "headers": [], "contentType": JSON}, b'{"a":1}'),
            ({"statusCode": 200, "headers": {"content-type": "image/png", "X-A": "0"}, "multiValueHeaders": {"x-a": ["1", "2"]}, "isBase64Encoded": True, "body": "AAE="},
             {"status": 200, "headers": [["content-type", "image/png"], ["x-a", "1"], ["x-a", "2"]]}, b"\0\1"),
            ({"statusCode": 204, "cookies": ["a=1"], "statusDescription": "204 No Content"}, {"status": 204, "cookies": ["a=1"]}, b""),
            # Data, whose fields are called so by chance.
            ({"statusCode": "200"}, {"contentType": JSON}, b'{"statusCode": "200"}'),
            ({"statusCode": True}, {"contentType": JSON}, b'{"statusCode": true}'),
            ({"statusCode": 200, "message": "x"}, {"contentType": JSON}, b'{"statusCode": 200, "message": "x"}'),
        ):
            with self.subTest(value=value):
                self.assertEqual({"headers": [], **encode(value)[0]}, {"headers": [], **fields})
                self.assertEqual(encode(value)[1], body)
        value = {"statusCode": 500, "body": "x"}
        self.assertEqual(encode(value, to_event=True), ({"contentType": JSON}, json.dumps(value).encode()))

    def test_events(self):
        when = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
        event = {"specversion": "1.0", "type": "t"}
        for value, attributes, content_type, body in (
            (CloudEvent("t"), event, "", b""),
            (CloudEvent("t", [1], subject="s", ext=2, flag=True, none=None, time=when),
             {**event, "subject": "s", "ext": 2, "flag": True, "time": "2026-01-02T03:04:05+00:00"}, JSON, b"[1]"),
            (CloudEvent("t", "é", datacontenttype="text/plain"), {**event, "datacontenttype": "text/plain"}, "text/plain", "é".encode()),
            (CloudEvent("t", "é", datacontenttype=JSON), {**event, "datacontenttype": JSON}, JSON, b'"\\u00e9"'),
            (CloudEvent("t", subject="Café 100%\r\nX-Evil: 1"), {**event, "subject": "Café 100%\r\nX-Evil: 1"}, "", b""),
            ({**event, "data_base64": "AAE="}, event, BYTES, b"\x00\x01"),
        ):
            with self.subTest(value=value):
                fields, got = encode(value)
                self.assertEqual((fields["event"], fields["contentType"], got), (attributes, content_type, body))

    def test_does_not_change_what_the_handler_keeps(self):
        for kept in ({"specversion": "1.0", "type": "t", "data": {"a": 1}}, {"statusCode": 200, "headers": {"a": "b"}, "body": "x"}):
            before = json.dumps(kept)
            encode(kept)
            self.assertEqual(json.dumps(kept), before)

    def test_streams(self):
        for value in (iter([]), (i for i in ()), map(str, []), io.BytesIO(b"x"), Response(iter([]))):
            with self.subTest(value=value):
                self.assertIsNotNone(encoding.encode(value).items)
        items = encoding.pieces(io.BytesIO(b"x" * 100000))
        self.assertEqual([len(piece) for piece in items], [65536, 34464])

    def test_refuses_what_cannot_be_sent(self):
        for value, message in (
            (object(), "type object that cannot be written as JSON"),
            ({1, 2}, "type set that cannot be written as JSON"),
            ({"p": decimal.Decimal("1.10")}, "type dict that cannot be written as JSON: .*Decimal"),
            (datetime.datetime.now(), "type datetime"),
            (Point(), "type Point"),
            ({"b": b"x"}, "type dict .*bytes"),
            (float("inf"), "Out of range float"),
            (Response(object()), "type object"),
            (Response(status=100), "status 100, expected 200 to 599"),
            (Response(status="200"), "status '200', expected"),
            (Response(status=600), "status 600, expected"),
            (Response(headers={"X A": "1"}), "a header with the name 'X A'"),
            (Response(headers={"": "1"}), "a header with the name ''"),
            (Response(headers={"X": "a\r\nX-Evil: 1"}), "line break or NUL for the header X"),
            (Response(headers={"X": None}), "type NoneType for the header X"),
            (Response(cookies=["a=\n"]), "line break or NUL for the header set-cookie"),
            (Response(headers=[("x", "1")] * 91), "91 headers of 182 bytes, expected at most 90 of 57344 bytes"),
            (Response(headers={"x": "y" * 57344}), "1 headers of 57345 bytes"),
            ({"statusCode": 200, "body": {}}, "statusCode whose body is of type dict"),
            ({"statusCode": 200, "body": "!", "isBase64Encoded": True}, "not base64"),
            ({"statusCode": 99}, "status 99"),
            (CloudEvent("t", object()), "type object"),
            ({"specversion": "1.0", "type": "t", "data_base64": "A"}, "data_base64 is not base64"),
            # Attributes that JSON or the runtime would change.
            (CloudEvent("t", ext=b"x"), 'attribute "ext": is of type bytes'),
            (CloudEvent("t", price=1.5), 'attribute "price": is of type float'),
            (CloudEvent("t", price=decimal.Decimal("1.5")), 'attribute "price": is of type Decimal'),
            (CloudEvent("t", n=2 ** 40), 'attribute "n": is the number 1099511627776, expected one of 32 bits'),
            (CloudEvent("t", tags=["a"]), 'attribute "tags": is of type list'),
            (CloudEvent("t", id=5), 'attribute "id": is of type int, expected text'),
            (CloudEvent("t", id=uuid.UUID(int=7)), 'attribute "id": is of type UUID, expected text'),
            (CloudEvent("t", time=1), 'attribute "time": is of type int, expected text'),
            (CloudEvent("t", time=datetime.datetime(2026, 1, 2)), 'attribute "time": has no time zone'),
        ):
            with self.subTest(value=value):
                with self.assertRaisesRegex(InvalidReply, message):
                    encode(value)


if __name__ == "__main__":
    unittest.main()
