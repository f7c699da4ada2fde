package lambda

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// Invoker calls a handler in this process, each invocation in the goroutine of its
// request.
type Invoker struct {
	application http.Handler  // nil: the handler is a function of the shapes that are called
	handler     reflect.Value // the function
	context     bool          // whether it takes one
	input       reflect.Type  // nil: it takes none
	value       bool          // whether it returns one
	fails       bool          // whether it returns an error
	limits      runtime.Limits
	name        string
	namespace   string
	logger      *slog.Logger
	untraced    bool // log lines do not name the trace
}

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// NewInvoker takes a handler of one of the package's shapes. The names are those
// of the function.
func NewInvoker(handler any, limits runtime.Limits, name, namespace string, logger *slog.Logger) (*Invoker, error) {
	i := &Invoker{handler: reflect.ValueOf(handler), limits: limits, name: name, namespace: namespace, logger: logger}
	wrong := fmt.Errorf("the handler is a %T; expected func([context.Context], [T]) ([R], [error]) or an http.Handler", handler)
	t := reflect.TypeOf(handler)
	if t == nil || slices.Contains([]reflect.Kind{reflect.Func, reflect.Pointer, reflect.Map}, t.Kind()) && i.handler.IsNil() {
		return nil, fmt.Errorf("%w, and it is nil", wrong)
	}
	if i.application = applicationOf(handler); i.application != nil {
		return i, nil
	}
	if t.Kind() != reflect.Func || t.IsVariadic() || !i.shape(t) {
		return nil, wrong
	}
	return i, nil
}

// shape reads that of a function, and reports whether it is one of the package's.
func (i *Invoker) shape(t reflect.Type) bool {
	in, out := t.NumIn(), t.NumOut()
	i.context = in > 0 && t.In(0) == contextType
	if rest := in - btoi(i.context); rest > 1 {
		return false
	} else if rest == 1 {
		i.input = t.In(in - 1)
	}
	i.fails = out > 0 && t.Out(out-1) == errorType
	i.value = out > btoi(i.fails)
	return out <= btoi(i.fails)+1 && (!i.value || t.Out(0) != errorType)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Ready implements runtime.Invoker.
func (*Invoker) Ready() bool { return true }

// Limits of an invocation; see runtime.Invoker.
func (i *Invoker) Limits() runtime.Limits { return i.limits }

// Traits are those of the handler.
func (i *Invoker) Traits(context.Context, time.Time) (runtime.Traits, error) {
	return runtime.Traits{Raw: i.application != nil, Streams: i.input == requestType || i.input == readerType}, nil
}

// Invoke implements runtime.Invoker. It returns when the handler does; what that streams
// goes on until the result's Stream is closed.
func (i *Invoker) Invoke(ctx context.Context, in *runtime.Invocation) (*runtime.Result, error) {
	own := i.begin(ctx, in)
	result, err := i.call(own)
	if err == nil && result.Stream != nil {
		return result, nil
	}
	own.end()
	if !time.Now().Before(own.call.deadline) {
		return nil, runtime.TimedOut(i.limits.Timeout) // what it returned may come of the end of its context
	}
	return result, err
}

// begin makes the context of an invocation.
func (i *Invoker) begin(ctx context.Context, in *runtime.Invocation) *invocationContext {
	arrived := in.Arrived
	if arrived.IsZero() {
		arrived = time.Now()
	}
	return &invocationContext{Context: ctx, call: i.contextOf(in, arrived.Add(i.limits.Timeout))}
}

// call turns what the handler raises into a HandlerError, panics too.
func (i *Invoker) call(own *invocationContext) (result *runtime.Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			result, err = nil, own.call.panicked(v)
		}
	}()
	arguments := make([]reflect.Value, 0, 2)
	if i.context {
		arguments = append(arguments, reflect.ValueOf(own))
	}
	if i.input != nil {
		value, err := decode(own, i.input)
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, value)
	}
	results := i.handler.Call(arguments)
	if i.fails {
		if raised, ok := results[len(results)-1].Interface().(error); ok {
			return nil, own.call.raise(raised)
		}
	}
	if !i.value {
		return &runtime.Result{}, nil
	}
	result, err = reply(own, results[0])
	var raised *runtime.HandlerError
	if err != nil && !errors.As(err, &raised) {
		err = own.call.invalid(err)
	}
	return result, err
}

// panicked makes a HandlerError of what was recovered, and logs it.
func (c *Context) panicked(v any) *runtime.HandlerError {
	stack := frames(debug.Stack())
	c.Logger().Error("panic: "+fmt.Sprint(v), "exception", stack)
	return &runtime.HandlerError{Type: "panic", Message: fmt.Sprint(v), Stack: stack}
}

// callers are the functions by which this package runs the author's code.
var callers = []string{"reflect.Value.call", scope + ".(*stream).each", scope + ".(*Invoker).Serve"}

const scope = "github.com/brunovlucena/knative-lambda-operator/pkg/lambda"

// frames are the author's of a stack: those between the panic and this package.
func frames(stack []byte) string {
	text := string(stack)
	if at := strings.Index(text, "\npanic("); at >= 0 {
		text = text[at+1:]
		for range 2 { // panic's own frame
			_, text, _ = strings.Cut(text, "\n")
		}
	}
	for _, caller := range callers {
		if at := strings.Index(text, "\n"+caller+"("); at >= 0 {
			text = text[:at+1]
		}
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
		FunctionName: i.name, FunctionNamespace: i.namespace, untraced: i.untraced, deadline: deadline, timeout: i.limits.Timeout, logger: i.logger, invocation: in}
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
