package lambda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"sync"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

const (
	// typeLines is what values are streamed as: one a line, in JSON.
	typeLines  = "application/x-ndjson"
	typeEvents = "text/event-stream"
	// chunkSize is the most that is read at once of a reader, in bytes.
	chunkSize = 32 << 10
)

// stream is a reply that a goroutine of its own produces. It makes a piece when the one
// before has been read, so that the client's pace is the handler's.
type stream struct {
	own         *invocationContext
	contentType string
	encode      func(any) ([]byte, error) // nil before the first item

	want   chan struct{} // asks for a piece; has room for one
	pieces chan piece    // has room for the one that was asked for
	done   chan struct{} // closed when the handler's code has returned

	rest []byte // of the piece that is read
	err  error  // behind it
}

// piece of a stream, or its end.
type piece struct {
	data []byte
	err  error
}

// startStream waits for the first item, which decides the content type. An error before it is
// one of the handler.
func startStream(own *invocationContext, items iter.Seq2[any, error], contentType string) (*runtime.Result, error) {
	s := &stream{own: own, contentType: contentType, want: make(chan struct{}, 1), pieces: make(chan piece, 1), done: make(chan struct{})}
	go s.produce(items)
	s.want <- struct{}{}
	first := <-s.pieces
	if s.rest, s.err = first.data, first.err; s.err != nil && !errors.Is(s.err, io.EOF) {
		return nil, s.err
	}
	return &runtime.Result{ContentType: s.contentType, Stream: s, Deadline: own.call.deadline}, nil
}

// produce runs the handler's code.
func (s *stream) produce(items iter.Seq2[any, error]) {
	defer close(s.done)
	<-s.want
	select {
	case s.pieces <- piece{err: s.each(items)}:
	case <-s.own.Done(): // nothing more is read
	}
}

// each hands out the items, until they end or the call does, and returns what came then.
func (s *stream) each(items iter.Seq2[any, error]) (end error) {
	defer func() {
		if v := recover(); v != nil {
			end = s.own.call.panicked(v)
		}
	}()
	for item, failed := range items {
		data, err := s.bytes(item, failed)
		if err != nil {
			return err
		}
		s.pieces <- piece{data: data}
		select {
		case <-s.want:
		case <-s.own.Done():
			return s.own.Err()
		}
	}
	return io.EOF
}

// bytes of an item. The error is a HandlerError.
func (s *stream) bytes(item any, failed error) ([]byte, error) {
	if failed != nil {
		return nil, s.own.call.raise(failed)
	}
	if s.encode == nil {
		s.contentType, s.encode = encoding(item)
	}
	data, err := s.encode(item)
	if err != nil {
		return nil, s.own.call.invalid(err)
	}
	return data, nil
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		s.want <- struct{}{}
		select {
		case next := <-s.pieces:
			s.rest, s.err = next.data, next.err
		case <-s.own.Done():
			s.err = s.own.Err()
		}
		if s.err != nil && !time.Now().Before(s.own.call.deadline) { // the end may be that of the context
			s.err = runtime.TimedOut(s.own.call.timeout)
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// Close ends the call's context, and with it what produces the stream.
func (s *stream) Close() error {
	s.own.end()
	return nil
}

// Done is closed when the handler's code has returned.
func (s *stream) Done() <-chan struct{} { return s.done }

// encoding of a stream that begins with the item.
func encoding(item any) (contentType string, encode func(any) ([]byte, error)) {
	switch item.(type) {
	case []byte:
		return typeBytes, textual
	case string:
		return typeText, textual
	case ServerSentEvent:
		return typeEvents, textual
	}
	return typeLines, func(item any) ([]byte, error) {
		result, err := encodeJSON(item)
		if err != nil {
			return nil, err
		}
		return append(result.Body, '\n'), nil
	}
}

// textual encodes the items of a stream of bytes or text.
func textual(item any) ([]byte, error) {
	switch item := item.(type) {
	case []byte:
		return item, nil
	case string:
		return []byte(item), nil
	case ServerSentEvent:
		return item.text()
	}
	return nil, fmt.Errorf("the handler's stream of text or bytes has an item of type %T", item)
}

// chunks are what a reader has, as it arrives. One that can be closed is, when it or the call
// ends.
func chunks(own *invocationContext, r io.Reader) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		if c, ok := r.(io.Closer); ok {
			end := sync.OnceFunc(func() { _ = c.Close() }) // Read has said what is wrong
			defer end()
			defer context.AfterFunc(own, end)() // Read may wait
		}
		buffer := make([]byte, chunkSize)
		for {
			n, err := r.Read(buffer)
			if n > 0 && !yield(buffer[:n], nil) || errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// sequence takes an iter.Seq2[T, error] of any T; it is nil for other values. The content type
// is that of one without items.
func sequence(v any) (items iter.Seq2[any, error], contentType string) {
	switch s := v.(type) {
	case iter.Seq2[[]byte, error]:
		return erased(s), typeBytes
	case iter.Seq2[string, error]:
		return erased(s), typeText
	}
	t := reflect.TypeOf(v)
	if t.Kind() != reflect.Func || !t.CanSeq2() || t.In(0).In(1) != errorType {
		return nil, ""
	}
	contentType = typeLines
	if of := t.In(0).In(0); of.Kind() != reflect.Interface {
		contentType, _ = encoding(reflect.Zero(of).Interface())
	}
	return func(yield func(any, error) bool) {
		for item, failed := range reflect.ValueOf(v).Seq2() {
			err, _ := failed.Interface().(error) // nil
			if !yield(item.Interface(), err) {
				return
			}
		}
	}, contentType
}

func erased[T any](s iter.Seq2[T, error]) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		s(func(item T, err error) bool { return yield(item, err) })
	}
}
