package lambda

import (
	"context"
	"errors"
	"net/http"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// Serve implements runtime.Application for an http.Handler. Contexts of its requests are those
// of calls: FromContext has the function's names, the logger and the trace.
func (i *Invoker) Serve(ctx context.Context, w http.ResponseWriter, in *runtime.Invocation) {
	own := i.begin(ctx, in)
	defer own.end()
	defer func() {
		v := recover()
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(http.ErrAbortHandler) // which is not logged
		}
		if v != nil {
			panic(own.call.panicked(v))
		}
	}()
	r := in.Request().WithContext(own)
	if in.Traceparent != "" {
		r.Header.Set("Traceparent", in.Traceparent) // of the span of this call
	}
	i.application.ServeHTTP(w, r)
}

// applicationOf returns the http.Handler that a handler is, or nil.
func applicationOf(handler any) http.Handler {
	switch h := handler.(type) {
	case func(http.ResponseWriter, *http.Request):
		return http.HandlerFunc(h)
	case http.Handler:
		return h
	}
	return nil
}
