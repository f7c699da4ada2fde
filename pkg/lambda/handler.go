package lambda

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// Invoker calls a handler in this process, each invocation in the goroutine of its
// request.
type Invoker struct {
	handler   reflect.Value
	context   bool         // whether it takes one
	input     reflect.Type // nil: it takes none
	value     bool         // whether it returns one
	fails     bool         // whether it returns an error
	timeout   time.Duration
	name      string
	namespace string
	logger    *slog.Logger
	untraced  bool // log lines do not name the trace
}

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// NewInvoker takes a handler of one of the package's shapes. The names are those
// of the function.
func NewInvoker(handler any, timeout time.Duration, name, namespace string, logger *slog.Logger) (*Invoker, error) {
	i := &Invoker{handler: reflect.ValueOf(handler), timeout: timeout, name: name, namespace: namespace, logger: logger}
	wrong := fmt.Errorf("the handler is a %T; expected func([context.Context], [T]) ([R], [error])", handler)
	t := reflect.TypeOf(handler)
	if t == nil || t.Kind() != reflect.Func || i.handler.IsNil() || t.IsVariadic() {
		return nil, wrong
	}
	in, out := t.NumIn(), t.NumOut()
	i.context = in > 0 && t.In(0) == contextType
	if rest := in - btoi(i.context); rest > 1 {
		return nil, wrong
	} else if rest == 1 {
		i.input = t.In(in - 1)
	}
	i.fails = out > 0 && t.Out(out-1) == errorType
	i.value = out > btoi(i.fails)
	if out > btoi(i.fails)+1 || i.value && t.Out(0) == errorType {
		return nil, wrong
	}
	return i, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Ready implements runtime.Invoker.
func (*Invoker) Ready() bool { return true }

// Limit is how long an invocation may take; see runtime.Invoker.
func (i *Invoker) Limit() time.Duration { return i.timeout }

// Invoke implements runtime.Invoker. It returns when the handler does.
func (i *Invoker) Invoke(ctx context.Context, in *runtime.Invocation) (*runtime.Result, error) {
	deadline := time.Now().Add(i.timeout)
	c := i.contextOf(in, deadline)
	own := &invocationContext{Context: ctx, told: c}
	defer own.end()
	arguments := make([]reflect.Value, 0, 2)
	if i.context {
		arguments = append(arguments, reflect.ValueOf(own))
	}
	if i.input != nil {
		value, err := decode(i.input, in)
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, value)
	}
	result, err := i.call(c, arguments)
	if err == nil && in.Event == nil && result.ContentType == typeJSON {
		if reply, failed := runtime.ProxyReply(result.Body, in.Payload); reply != nil || failed != nil {
			return reply, failed
		}
	}
	if err != nil && !time.Now().Before(deadline) {
		return nil, runtime.TimedOut(i.timeout) // the error is that of the context, or comes of it
	}
	return result, err
}

// call turns what the handler raises into a HandlerError, panics too.
func (i *Invoker) call(c *Context, arguments []reflect.Value) (result *runtime.Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			stack := frames(debug.Stack())
			c.Logger().Error("panic: "+fmt.Sprint(v), "exception", stack)
			result, err = nil, &runtime.HandlerError{Type: "panic", Message: fmt.Sprint(v), Stack: stack}
		}
	}()
	results := i.handler.Call(arguments)
	if i.fails {
		if raised, ok := results[len(results)-1].Interface().(error); ok {
			name := typeName(raised)
			c.Logger().Error(name + ": " + raised.Error())
			return nil, &runtime.HandlerError{Type: name, Message: raised.Error(), Permanent: isPermanent(raised)}
		}
	}
	if !i.value {
		return &runtime.Result{}, nil
	}
	result, err = encode(results[0])
	if err != nil {
		c.Logger().Error("InvalidReply: " + err.Error())
		return nil, &runtime.HandlerError{Type: "InvalidReply", Message: err.Error()}
	}
	return result, nil
}

// frames are the author's of a stack: those between the panic and this package.
func frames(stack []byte) string {
	text := string(stack)
	if at := strings.Index(text, "\npanic("); at >= 0 {
		text = text[at+1:]
		for range 2 { // panic's own frame
			_, text, _ = strings.Cut(text, "\n")
		}
	}
	if at := strings.Index(text, "\nreflect.Value.call("); at >= 0 {
		text = text[:at+1]
	}
	return text
}

// typeName is the name of the first error in the chain that has a type of its own.
func typeName(err error) string {
	for ; err != nil; err = errors.Unwrap(err) {
		t := reflect.TypeOf(err)
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Name() != "" && t.PkgPath() != "errors" && t.PkgPath() != "fmt" {
			return t.Name()
		}
	}
	return "error"
}

func (i *Invoker) contextOf(in *runtime.Invocation, deadline time.Time) *Context {
	path, _, _ := strings.Cut(in.Path, "?")
	c := &Context{Attributes: in.Event, Method: in.Method, Path: path, Traceparent: in.Traceparent,
		FunctionName: i.name, FunctionNamespace: i.namespace, untraced: i.untraced, deadline: deadline, logger: i.logger, invocation: in}
	if e := in.CloudEvent; e != nil {
		c.ID, c.Type, c.Source, c.Subject, c.Time = e.ID(), e.Type(), e.Source(), e.Subject(), e.Time()
	}
	return c
}

// cloudEvent is the invocation's event, as a handler's argument.
func cloudEvent(in *runtime.Invocation) (*event.Event, error) {
	if in.CloudEvent == nil {
		return nil, badInput("the request is no CloudEvent, which the handler takes")
	}
	return in.CloudEvent, nil
}
