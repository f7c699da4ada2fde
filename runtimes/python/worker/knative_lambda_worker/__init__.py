"""The Python worker: it calls handlers, many at once.

Speaks version 2 of the worker protocol, docs/runtime-protocol.md. Uses nothing but the
standard library, and imports what only some functions need when they need it: cold
starts count.

    main     starts: descriptors, loading, control connection
    frames   the bytes on connections
    call     one call: its context, body and answer
    codec    decodes request bodies, encodes what handlers return
    errors   describes exceptions
    loader   imports the handler and recognises its kind
    threads  calls handlers in threads
    loop     calls handlers on an event loop
    wsgi     WSGI applications, in threads
    asgi     ASGI applications, on an event loop
    logs     makes log records and printed lines JSON that names its call
    fork     ends children of handlers instead of letting them go on as the worker
"""
