package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Part is one piece of the cluster. Parts come up side by side as soon as what
// they need is up.
type Part struct {
	Name  string
	Needs []string
	// With names the flag that switches the part on; empty is always.
	With string
	// Prepare builds and downloads; it needs nothing that runs.
	Prepare func(context.Context, *Env) error
	// Up starts what does not run and returns when it is ready. It may be
	// called again at any time.
	Up func(context.Context, *Env) error
}

// Up brings up the parts that are switched on, now or since the last down.
func (e *Env) Up(ctx context.Context, parts []Part) error {
	if err := e.switchOn(parts); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	up := map[string]chan struct{}{}
	var on []Part
	for _, p := range parts {
		if p.With == "" || e.With[p.With] {
			on = append(on, p)
			up[p.Name] = make(chan struct{})
		}
	}
	// Preparations go one after the other, in the order of the list: the
	// compiler uses all cores by itself, and the first ones are waited for first.
	prepared := map[string]chan struct{}{}
	for _, p := range on {
		prepared[p.Name] = make(chan struct{})
		if p.Prepare == nil {
			close(prepared[p.Name])
		}
	}
	var wg sync.WaitGroup
	errs := make(chan error, 2*len(on))
	fail := func(part string, err error) {
		errs <- fmt.Errorf("%s: %w", part, err)
		cancel()
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		for _, p := range on {
			if p.Prepare == nil {
				continue
			}
			if err := p.Prepare(ctx, e); err != nil {
				fail(p.Name, err)
				return
			}
			close(prepared[p.Name])
		}
	}()
	for _, p := range on {
		wg.Add(1)
		go func() {
			defer wg.Done()
			waits := []chan struct{}{prepared[p.Name]}
			for _, n := range p.Needs {
				if up[n] == nil {
					fail(p.Name, fmt.Errorf("needs %s, which is not switched on", n))
					return
				}
				waits = append(waits, up[n])
			}
			for _, w := range waits {
				select {
				case <-w:
				case <-ctx.Done():
					return
				}
			}
			if err := p.Up(ctx, e); err != nil {
				fail(p.Name, err)
				return
			}
			e.Say(p.Name, "up")
			close(up[p.Name])
		}()
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if !errors.Is(err, context.Canceled) {
			return err // the first is the cause of the others
		}
	}
	return ctx.Err()
}

// Healthy tells whether a process runs and its URL answers with 200.
func (e *Env) Healthy(ctx context.Context, process, url string) error {
	if err := e.Died(process); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, res.Status)
	}
	return nil
}

// Listens tells whether a process runs and takes connections at its address.
func (e *Env) Listens(ctx context.Context, process, address string) error {
	if err := e.Died(process); err != nil {
		return err
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}
