package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// result of a load.
type result struct {
	rate     float64 // requests per second
	p50, p99 time.Duration
}

// load sends the request again and again on that many connections at a time,
// each waiting for its answer, and measures for the duration after the warm-up.
// The client is as lean as it can be, for it shares the server's processors. An
// answer that is not want is an error.
func load(ctx context.Context, address string, request, want []byte, connections int, warmUp, duration time.Duration) (*result, error) {
	ctx, cancel := context.WithTimeout(ctx, warmUp+duration)
	defer cancel()
	start := time.Now().Add(warmUp)
	latencies := make([][]time.Duration, connections)
	errs := make([]error, connections)
	var wg sync.WaitGroup
	for i := range connections {
		wg.Go(func() {
			c := &client{address: address}
			defer c.close()
			for ctx.Err() == nil && errs[i] == nil {
				began := time.Now()
				body, err := c.roundTrip(request)
				if err == nil && !bytes.Equal(bytes.TrimSpace(body), want) {
					err = fmt.Errorf("answered %q, expected %q", body, want)
				}
				errs[i] = err
				if began.After(start) {
					latencies[i] = append(latencies[i], time.Since(began))
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	all := slices.Concat(latencies...)
	if len(all) == 0 {
		return nil, errors.New("no request was answered in time")
	}
	slices.Sort(all)
	return &result{rate: float64(len(all)) / duration.Seconds(), p50: all[len(all)/2], p99: all[len(all)*99/100]}, nil
}

// client of one connection, which it opens again when the server closes it.
type client struct {
	address string
	conn    net.Conn
	r       *bufio.Reader
	body    []byte
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *client) roundTrip(request []byte) ([]byte, error) {
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.address)
		if err != nil {
			return nil, err
		}
		c.conn, c.r = conn, bufio.NewReader(conn)
	}
	if err := c.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	return c.response()
}

// response reads what these servers send: a body with Content-Length.
func (c *client) response() ([]byte, error) {
	status, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200")) {
		return nil, fmt.Errorf("answered %q", status)
	}
	length, last := -1, false
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return nil, err
			}
		case bytes.EqualFold(name, []byte("Connection")):
			last = bytes.EqualFold(bytes.TrimSpace(value), []byte("close"))
		}
	}
	if length < 0 {
		return nil, errors.New("the answer has no Content-Length")
	}
	c.body = slices.Grow(c.body[:0], length)[:length]
	_, err = io.ReadFull(c.r, c.body)
	if last {
		c.close()
	}
	return c.body, err
}
