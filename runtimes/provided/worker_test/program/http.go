package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// handleHTTP answers as functions behind a function URL do.
func handleHTTP(ctx context.Context, request events.LambdaFunctionURLRequest) (any, error) {
	switch request.RawPath {
	case "/value":
		return map[string]int{"a": 1}, nil
	case "/own":
		return map[string]any{"statusCode": 202, "headers": map[string]any{"X-Number": 7}, "body": "taken", "own": true}, nil
	case "/bytes":
		return events.LambdaFunctionURLResponse{StatusCode: 200, Headers: map[string]string{"Content-Type": "image/png"}, Body: "AAE=", IsBase64Encoded: true}, nil
	case "/wrong":
		return map[string]any{"statusCode": 200, "body": map[string]int{"a": 1}}, nil
	case "/fail":
		return nil, ValueError{"it: failed"}
	case "/stream", "/stream-fails", "/slow", "/large":
		return stream(request), nil
	case "/stream-fails-first":
		return io.MultiReader(failing{}), nil
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	c, _ := lambdacontext.FromContext(ctx)
	return events.LambdaFunctionURLResponse{StatusCode: 201, Headers: map[string]string{"Content-Type": "application/json", "X-Request-Id": c.AwsRequestID},
		Cookies: []string{"a=1", "b=2"}, Body: string(body)}, nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("too late") }

// stream answers piece by piece. The second waits until the file that the query names is
// there.
func stream(request events.LambdaFunctionURLRequest) *events.LambdaFunctionURLStreamingResponse {
	reader, writer := io.Pipe()
	go func() {
		_, _ = io.WriteString(writer, "first ")
		switch request.RawPath {
		case "/stream-fails":
			_ = writer.CloseWithError(ValueError{"too late"})
			return
		case "/slow":
			time.Sleep(time.Hour)
		case "/large":
			for range 64 {
				if _, err := writer.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}
		for until := request.QueryStringParameters["until"]; until != ""; time.Sleep(time.Millisecond) {
			if _, err := os.Stat(until); err == nil {
				break
			}
		}
		_, _ = io.WriteString(writer, "last")
		_ = writer.Close()
	}()
	return &events.LambdaFunctionURLStreamingResponse{StatusCode: 206, Headers: map[string]string{"Content-Type": "text/html"}, Cookies: []string{"c=3"}, Body: reader}
}
