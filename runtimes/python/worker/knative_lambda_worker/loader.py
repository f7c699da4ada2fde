"""Imports the handler and recognises how it wants to be called."""

import logging
import os
import sys

from knative_lambda_worker import errors, logs
from knative_lambda_worker.errors import Failure

INTERFACES = ("auto", "handler", "asgi", "wsgi")

_COROUTINE, _ASYNC_GENERATOR = 0x80, 0x200  # of co_flags
_HINT = "; set spec.runtime.handler"


def load(handler):
    """Import <module>.<name>; what is wrong is a Failure. Slashes are taken for dots."""
    module_name, _, name = handler.rpartition(".")
    module_name = module_name.replace("/", ".")
    if not module_name or not name:
        raise Failure('handler "%s" is not of the form <module>.<function>%s' % (handler, _HINT))
    module = _import(module_name, handler)
    found = getattr(module, name, None)
    if found is None:
        defined = sorted(k for k, v in vars(module).items() if callable(v) and getattr(v, "__module__", None) == module.__name__)
        raise Failure('handler "%s" not found: module "%s" defines %s%s' % (handler, module_name, ", ".join(defined) or "no function", _HINT))
    if not callable(found):
        raise Failure('handler "%s" is a %s, not a function or an application%s' % (handler, type(found).__name__, _HINT))
    return found


def _import(name, handler):
    try:
        __import__(name)
        return sys.modules[name]
    except SyntaxError as e:
        where = "%s, line %s" % (os.path.basename(e.filename or name), e.lineno)
        raise Failure('cannot import "%s": %s: %s (%s)' % (name, type(e).__name__, e.msg, where))
    except ModuleNotFoundError as e:
        if e.name == name or name.startswith("%s." % e.name):
            raise Failure('handler "%s" not found: the source has no module "%s"%s' % (handler, name, _HINT))
        raise Failure('cannot import "%s": %s (%s); is it among the dependencies?' % (name, e, errors.origin(e)))
    except BaseException as e:  # SystemExit too: an import must not end the worker without a message
        raise Failure('cannot import "%s": %s (%s)' % (name, errors.describe(e), errors.origin(e)))


def application(found, handler, interface, slots):
    """Return what answers calls by the handler, and the log's word for its kind."""
    if interface not in INTERFACES:
        raise Failure('interface "%s" is not one of Python\'s, which are %s; set spec.runtime.interface' % (interface, ", ".join(INTERFACES)))
    kind = interface
    if interface in ("auto", "asgi"):
        scaffold = _scaffold(found, handler)
        if scaffold is not None:
            found, kind = scaffold, "asgi"
    if kind == "auto":
        kind = _recognise(found)
    if kind == "asgi":
        from knative_lambda_worker import asgi
        return asgi.Application(found), "an ASGI application"
    if kind == "wsgi":
        from knative_lambda_worker import wsgi
        return wsgi.Application(found, slots > 1), "a WSGI application"
    streams = getattr(found, "request_stream", False) is True
    function = adapt(found, handler)
    if _is_async(found):
        from knative_lambda_worker import tasks
        return tasks.Handler(function, streams), "an async handler, on an event loop"
    from knative_lambda_worker import threads
    return threads.Handler(function, streams), "a handler, in %s" % ("the main thread" if slots == 1 else "threads")


def _recognise(found):
    """Whether a callable is an application, by the names of its parameters."""
    if hasattr(found, "wsgi_app"):
        return "wsgi"
    code = getattr(found, "__code__", None)
    if code is not None and not hasattr(found, "__wrapped__") and not hasattr(found, "__self__"):
        names = list(code.co_varnames[:code.co_argcount])  # without importing inspect
    else:
        names = _parameters(found)
    if len(names) == 3 and names[-2:] == ["receive", "send"] and _is_async(found):
        return "asgi"
    if len(names) == 2 and names[-1] == "start_response":
        return "wsgi"
    return "handler"


def _parameters(found):
    import inspect
    try:
        return [p.name for p in inspect.signature(found).parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    except (TypeError, ValueError):  # it is built in
        return []


def _is_async(found):
    """Whether calling it returns a coroutine or an asynchronous generator. A decorator
    that is not async itself is called in a thread, whatever it wraps."""
    while type(found).__name__ == "partial" and hasattr(found, "func"):
        found = found.func
    code = getattr(found, "__code__", None)
    if code is None and not isinstance(found, type):
        code = getattr(getattr(type(found), "__call__", None), "__code__", None)
    if code is not None and code.co_flags & (_COROUTINE | _ASYNC_GENERATOR):
        return True
    return hasattr(found, "_is_coroutine_mark")  # inspect.markcoroutinefunction


def _scaffold(found, handler):
    """The ASGI application of a factory new(), as the func CLI scaffolds it, or None."""
    if getattr(found, "__name__", None) != "new" or _parameters(found):
        return None
    try:
        instance = found()
    except BaseException as e:
        raise Failure('handler "%s" failed: %s (%s)' % (handler, errors.describe(e), errors.origin(e)))
    if not callable(getattr(instance, "handle", None)):
        raise Failure('handler "%s" returned a %s without a method handle(scope, receive, send); set spec.runtime.interface: handler if it is a handler'
                      % (handler, type(instance).__name__))
    return _Scaffold(instance)


class _Scaffold:
    """Makes an instance with handle, and perhaps start and stop, an ASGI application."""

    def __init__(self, instance):
        self._instance = instance

    async def __call__(self, scope, receive, send):
        if scope["type"] != "lifespan":
            await self._instance.handle(scope, receive, send)
            return
        for event, method, arguments in (("startup", "start", (dict(os.environ),)), ("shutdown", "stop", ())):
            await receive()
            try:
                result = getattr(self._instance, method, lambda *_: None)(*arguments)
                if hasattr(result, "__await__"):
                    await result
            except Exception as e:
                logs.report(logging.ERROR, "%s() of the handler failed" % method, error=e)
                await send({"type": "lifespan.%s.failed" % event, "message": errors.describe(e)})
                return
            await send({"type": "lifespan.%s.complete" % event})


def adapt(function, handler):
    """Return function as one of (event, context), whether it takes both, the
    event, or nothing."""
    code = getattr(function, "__code__", None)
    if code is not None and code.co_argcount == 2 and not code.co_kwonlyargcount and not hasattr(function, "__self__"):
        return function  # the usual case, without importing inspect
    import inspect
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # it is built in
        return function
    for arguments in (2, 1, 0):
        try:
            signature.bind(*[None] * arguments)
        except TypeError:
            continue
        if arguments == 2:
            return function
        return (lambda event, context: function(event)) if arguments else (lambda event, context: function())
    raise Failure('handler "%s" takes %s; expected (event, context)' % (handler, signature))
