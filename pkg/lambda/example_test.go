package lambda_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// invoke calls a handler as the runtime does, with JSON.
func invoke(handler any, body string) {
	invoker, err := lambda.NewInvoker(handler, runtime.Limits{Timeout: time.Minute, Concurrency: 1}, "hello", "team", slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := invoker.Invoke(context.Background(), &runtime.Invocation{Method: http.MethodPost, ContentType: "application/json", Body: []byte(body)})
	if err != nil {
		var raised *runtime.HandlerError
		errors.As(err, &raised)
		fmt.Println(raised.Status, raised.Header, raised.Message)
		return
	}
	text := result.Body
	if result.Stream != nil {
		text, _ = io.ReadAll(result.Stream)
	}
	fmt.Printf("%d %s %s\n", result.Status, result.ContentType, text)
}

type Order struct {
	ID    string `json:"id"`
	Total int    `json:"total"`
}

func ExampleResponse() {
	handler := func(_ context.Context, in Order) (lambda.Response, error) {
		return lambda.Response{
			Status:  http.StatusCreated,
			Header:  http.Header{"Location": {"/orders/" + in.ID}},
			Cookies: []*http.Cookie{{Name: "last", Value: in.ID, HttpOnly: true}},
			Body:    in,
		}, nil
	}
	invoke(handler, `{"id": "7", "total": 3}`)
	// Output: 201 application/json {"id":"7","total":3}
}

func ExampleHTTPError() {
	handler := func(ctx context.Context) error {
		if method := lambda.FromContext(ctx).Method; method != http.MethodGet {
			return &lambda.HTTPError{Status: http.StatusMethodNotAllowed, Message: "GET only", Header: http.Header{"Allow": {"GET"}}}
		}
		return nil
	}
	invoke(handler, `{}`)
	// Output: 405 map[Allow:[GET]] GET only
}

// A sequence is sent as it is produced, one item after the other.
func ExampleResponse_stream() {
	handler := func(ctx context.Context, in Order) iter.Seq2[Order, error] {
		return func(yield func(Order, error) bool) {
			for n := range in.Total {
				if !yield(Order{ID: fmt.Sprint(in.ID, n)}, ctx.Err()) {
					return
				}
			}
		}
	}
	invoke(handler, `{"id": "7", "total": 2}`)
	// Output:
	// 0 application/x-ndjson {"id":"70","total":0}
	// {"id":"71","total":0}
}

func ExampleServerSentEvent() {
	handler := func() iter.Seq2[lambda.ServerSentEvent, error] {
		return func(yield func(lambda.ServerSentEvent, error) bool) {
			yield(lambda.ServerSentEvent{Event: "token", Data: "Hello"}, nil)
		}
	}
	invoke(handler, `{}`)
	// Output:
	// 0 text/event-stream event: token
	// data: Hello
}

// The request has what the data does not: headers with all values, cookies, the query, and the
// files of a form.
func ExampleRequestFrom() {
	handler := func(ctx context.Context) (string, error) {
		file, header, err := lambda.RequestFrom(ctx).FormFile("picture")
		if err != nil {
			return "", &lambda.HTTPError{Status: http.StatusBadRequest, Message: "expected a form with the file picture"}
		}
		defer file.Close()
		return header.Filename, nil
	}
	invoke(handler, `{}`)
	// Output: 400 map[] expected a form with the file picture
}

// An http.Handler reads requests and writes replies itself: the mux of net/http, or the router of
// a framework. The function's handler is the name of the variable: Router.
func ExampleStart() {
	router := http.NewServeMux()
	router.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		lambda.FromContext(r.Context()).Logger().Info("greeting")
		fmt.Fprintf(w, "Hello %s", r.PathValue("name"))
	})
	lambda.Start(router) // in the program that the build makes
}
