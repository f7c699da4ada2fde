"""The Python worker: it calls handlers, many at once.

Speaks version 2 of the worker protocol, docs/runtime-protocol.md. Uses nothing but the
standard library, and imports what only some functions need when they need it: cold
starts count.

    main       starts: descriptors, loading, control connection
    frames     the bytes on connections
    call       one call: its context, body and answer
    decoding   decodes request bodies
    encoding   encodes what handlers return
    errors     describes exceptions
    loader     imports the handler and recognises its kind
    threads    calls handlers in threads
    wsgi       WSGI applications, in threads
    tasks      calls handlers in tasks of an event loop
    asgi       ASGI applications, in tasks
    eventloop  the event loops of both
    web        requests and replies as applications have them
    logs       makes log records and printed lines JSON that names its call
    fork       ends children of handlers instead of letting them go on as the worker
"""
