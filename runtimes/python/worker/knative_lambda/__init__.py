"""What the code of a function may import.

    from knative_lambda import CloudEvent, HTTPError, PermanentError, Response, sse

In images lambda_runtime is another name of this module. knative_lambda.testing has
what unit tests of handlers need. docs/languages.md describes all of it.
"""

from knative_lambda._context import Context, File, Flag, Pairs, Request
from knative_lambda._reply import CloudEvent, HTTPError, PermanentError, Response, ServerSentEvent, request_stream, sse

__all__ = ["CloudEvent", "Context", "File", "Flag", "HTTPError", "Pairs", "PermanentError", "Request", "Response", "ServerSentEvent",
           "request_stream", "sse"]

for _name in __all__:
    globals()[_name].__module__ = __name__  # as stack traces and documentation name them
