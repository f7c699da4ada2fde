"""Decodes request bodies."""

import json

from knative_lambda import File
from knative_lambda_worker.errors import BadInput

_JSON = "application/json"


def _no_number(text):
    raise ValueError("%s is not a JSON number" % text)


_from_json = json.JSONDecoder(parse_constant=_no_number).decode


def decode(content_type, body):
    """Decode a body by its content type: JSON, text, or the bytes as they are."""
    if not body:
        return None
    media, _, parameters = content_type.partition(";")
    media = media.strip().lower()
    if media == _JSON or media.endswith("+json") or not media:
        try:
            return _from_json(body.decode("utf-8-sig"))
        except (ValueError, RecursionError) as e:
            if not media:
                return body
            raise BadInput("the body is not the JSON that its content type %s announces: %s" % (media, e)) from None
    if media.startswith("text/") or media == "application/xml":
        charset = "utf-8"
        for parameter in parameters.split(";"):
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                charset = value.strip().strip('"')
        try:
            return body.decode(charset)
        except (UnicodeDecodeError, LookupError) as e:
            raise BadInput("the body is not the text that its content type %s announces: %s" % (content_type, e)) from None
    return body


def decode_request(header, body):
    """Decode the body of a call: a form by its fields, anything else by its content type."""
    form, parts = header.get("form"), header.get("parts")
    if form is None and parts is None:
        content_type = header.get("contentType", "")
        if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
            content_type = _JSON  # a form would have been parsed
        return decode(content_type, body)
    fields = {}
    for name, value in form or ():
        _add(fields, name, value)
    for part in parts or ():
        content = body[part["offset"]:part["offset"] + part["length"]]
        if "filename" in part:
            content = File(part["name"], part["filename"], part.get("contentType"), content)
        else:
            content = _text_or_bytes(content)
        _add(fields, part["name"], content)
    return fields


def _text_or_bytes(content):
    """The value of a form's field that was too long for the frame's header."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _add(fields, name, value):
    if name not in fields:
        fields[name] = value
    elif isinstance(fields[name], list):
        fields[name].append(value)
    else:
        fields[name] = [fields[name], value]
