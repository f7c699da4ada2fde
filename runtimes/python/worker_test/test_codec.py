"""Decoding of requests and encoding of what handlers return."""

import datetime
import json
import unittest

import support  # noqa: F401  puts the worker on the path
from lambda_runtime import CloudEvent
from lambda_worker import BadInput, InvalidReply, decode, encode


class Decode(unittest.TestCase):
    def test_by_content_type(self):
        for content_type, body, want in (
            ("application/json", b'{"a": [1, null]}', {"a": [1, None]}),
            ("Application/JSON ; charset=utf-8", b"1", 1),
            ("application/cloudevents+json", b"{}", {}),
            ("", b"[1]", [1]),
            ("", b"\xff", b"\xff"),
            ("text/plain", "é".encode(), "é"),
            ("text/csv; header=present; charset=\"utf-16\"", "é".encode("utf-16"), "é"),
            ("application/xml", b"<a/>", "<a/>"),
            ("image/png", b"\x89PNG", b"\x89PNG"),
            ("application/json", b"", None),
            ("text/plain", b"", None),
        ):
            with self.subTest(content_type=content_type, body=body):
                self.assertEqual(decode(content_type, body), want)

    def test_refuses_what_is_not_what_it_says(self):
        for content_type, body in (("application/json", b"{"), ("application/json", b"[" * 100000), ("text/plain", b"\xff"), ("text/plain; charset=none", b"x")):
            with self.subTest(content_type=content_type, body=body[:10]):
                with self.assertRaisesRegex(BadInput, "announces"):
                    decode(content_type, body)


class Encode(unittest.TestCase):
    def test_values(self):
        for value, fields, body in (
            (None, {}, b""),
            ({}, {"contentType": "application/json"}, b"{}"),
            ("a", {"contentType": "application/json"}, b'"a"'),
            (bytearray(b"\x00"), {"contentType": "application/octet-stream"}, b"\x00"),
            (b"", {"contentType": "application/octet-stream"}, b""),
            ({"type": "no event"}, {"contentType": "application/json"}, b'{"type": "no event"}'),
        ):
            with self.subTest(value=value):
                self.assertEqual(encode(value), (fields, body))

    def test_events(self):
        when = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
        for value, event, content_type, body in (
            (CloudEvent("t"), {"specversion": "1.0", "type": "t"}, "", b""),
            (CloudEvent("t", [1], subject="s", ext=2, none=None, time=when),
             {"specversion": "1.0", "type": "t", "subject": "s", "ext": 2, "time": "2026-01-02T03:04:05+00:00"}, "application/json", b"[1]"),
            (CloudEvent("t", "é", datacontenttype="text/plain"), {"specversion": "1.0", "type": "t", "datacontenttype": "text/plain"}, "text/plain", "é".encode()),
            (CloudEvent("t", "é", datacontenttype="application/json"), {"specversion": "1.0", "type": "t", "datacontenttype": "application/json"}, "application/json", b'"\\u00e9"'),
            ({"specversion": "1.0", "type": "t", "data_base64": "AAE="}, {"specversion": "1.0", "type": "t"}, "application/octet-stream", b"\x00\x01"),
        ):
            with self.subTest(value=value):
                fields, got = encode(value)
                self.assertEqual((fields["event"], fields["contentType"], got), (event, content_type, body))

    def test_does_not_change_what_the_handler_keeps(self):
        kept = {"specversion": "1.0", "type": "t", "data": {"a": 1}}
        before = json.dumps(kept)
        encode(kept)
        self.assertEqual(json.dumps(kept), before)

    def test_refuses_what_cannot_be_sent(self):
        for value, message in (
            (object(), "type object that cannot be written as JSON"),
            ({1, 2}, "type set that cannot be written as JSON"),
            (float("inf"), "Out of range float"),
            ((i for i in ()), "type generator"),
            (CloudEvent("t", object()), "type object"),
            (CloudEvent("t", ext=b"x"), "attribute"),
            ({"specversion": "1.0", "type": "t", "data_base64": "A"}, "data_base64 is not base64"),
        ):
            with self.subTest(value=value):
                with self.assertRaisesRegex(InvalidReply, message):
                    encode(value)


if __name__ == "__main__":
    unittest.main()
