"""What a function may import from its runtime."""

ATTRIBUTES = frozenset(("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"))


class PermanentError(Exception):
    """An error that comes again with each retry: the event is not sent again."""

    permanent = True


class CloudEvent:
    """A CloudEvent to return from a handler. What is left out is filled in: id,
    source, time. Extensions are keyword arguments."""

    def __init__(self, type, data=None, **attributes):
        self.type = type
        self.data = data
        self.attributes = attributes

    def attributes_and_data(self):
        return {"specversion": "1.0", "type": self.type, **self.attributes, "data": self.data}
