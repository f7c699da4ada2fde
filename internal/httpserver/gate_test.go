package httpserver

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestGate_Enter: one namespace leaves a place to another, and what gets no place in
// time is busy.
func TestGate_Enter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(Limits{Places: 2, PlacesPerNamespace: 1, Wait: time.Minute})
		leave, err := g.Enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := g.Enter(t.Context(), "a"); !errors.Is(err, ErrBusy) || time.Since(began) != time.Minute {
			t.Errorf("Enter() = %v after %v, want ErrBusy after a minute", err, time.Since(began))
		}
		other, err := g.Enter(t.Context(), "b")
		if err != nil {
			t.Errorf("another namespace: %v", err)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if _, err := g.Enter(ended, "c"); !errors.Is(err, ErrBusy) {
			t.Errorf("a request that has ended: %v, want ErrBusy", err)
		}
		leave()
		if again, err := g.Enter(t.Context(), "a"); err != nil {
			t.Errorf("a place that is free again: %v", err)
		} else {
			again()
		}
		other()
	})
}

// TestGate_ReadEvent: events count on the account of their key until they are released.
func TestGate_ReadEvent(t *testing.T) {
	g := NewGate(Limits{Bytes: 2 * step, BytesPerKey: step, Places: 1, PlacesPerNamespace: 1})
	read := func(key string) (func(), error) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{"specversion":"1.0","id":"1","type":"t","source":"/s"}`))
		r.Header.Set("Content-Type", "application/cloudevents+json")
		_, release, err := g.ReadEvent(httptest.NewRecorder(), r, step, key)
		return release, err
	}
	release, err := read("a")
	if err != nil || g.Used() != step {
		t.Fatalf("err = %v, used %d, want %d", err, g.Used(), step)
	}
	var refused *EventError
	if _, err := read("a"); !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable {
		t.Errorf("beyond the key's share: %v, want status 503", err)
	}
	other, err := read("b")
	if err != nil {
		t.Fatalf("another key: %v", err)
	}
	release()
	other()
	if g.Used() != 0 {
		t.Errorf("%d bytes stay reserved", g.Used())
	}
}
