package httpserver

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
)

// TestBudget: bodies count as they arrive, for all and for each key, and give back what
// they have taken.
func TestBudget(t *testing.T) {
	b := NewBudget(4*step, 3*step)
	read := func(key string, n int) (*Body, error) {
		body := b.Body(key, io.NopCloser(strings.NewReader(strings.Repeat("x", n))))
		_, err := io.ReadAll(body)
		return body, err
	}
	first, err := read("a", 2*step)
	if err != nil || b.Used() != 3*step { // one step more to see the end
		t.Fatalf("err = %v, used %d, want %d", err, b.Used(), 3*step)
	}
	more, err := read("a", 1)
	if !errors.Is(err, ErrBusy) {
		t.Errorf("beyond the key's share: %v, want ErrBusy", err)
	}
	other, err := read("b", step-1)
	if err != nil {
		t.Errorf("another key within the total: %v", err)
	}
	last, err := read("c", 1)
	if !errors.Is(err, ErrBusy) {
		t.Errorf("beyond the total: %v, want ErrBusy", err)
	}
	for _, body := range []*Body{first, first, more, other, last} {
		body.Release()
	}
	if b.Used() != 0 || len(b.byKey) != 0 {
		t.Errorf("used %d, %v after all were released", b.Used(), b.byKey)
	}
}

// TestReadAll: a body comes back as it was sent, whatever its length and however it
// arrives, and a body under way holds no more than it has reserved.
func TestReadAll(t *testing.T) {
	for _, length := range []int{0, 1, step - 1, step, step + 1, 3 * step} {
		for name, announced := range map[string]int64{"announced": int64(length), "chunked": -1} {
			text := strings.Repeat("0123456789abcde", length/15+1)[:length]
			b := NewBudget(8*step, 8*step)
			body := b.Body("a", io.NopCloser(iotest.HalfReader(strings.NewReader(text))))
			all, err := body.readAll(announced)
			if err != nil || string(all.join()) != text {
				t.Errorf("%s: %d bytes: read %d, %v", name, length, len(all.join()), err)
			}
			if again, err := io.ReadAll(all.reader()); err != nil || string(again) != text {
				t.Errorf("%s: %d bytes: the reader has %d, %v", name, length, len(again), err)
			}
			held := 0
			for _, piece := range all {
				held += cap(piece)
			}
			if int64(held) > max(b.Used(), step) {
				t.Errorf("%s: %d bytes hold %d, reserved %d", name, length, held, b.Used())
			}
		}
	}
}

// TestReadAll_WhenTheBodyIsCutOff_Fails: the sender must not take half a body for whole.
func TestReadAll_WhenTheBodyIsCutOff_Fails(t *testing.T) {
	b := NewBudget(8*step, 8*step)
	cut := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF))
	if all, err := b.Body("a", io.NopCloser(cut)).readAll(8); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("readAll() = %q, %v, want %v", all.join(), err, io.ErrUnexpectedEOF)
	}
}

// TestSharedBudget: a key gets half of what the others leave free, and all keys together
// never more than there is.
func TestSharedBudget(t *testing.T) {
	b := NewSharedBudget(100)
	all := func(key string) (n int64) {
		for b.Reserve(key, 1) {
			n++
		}
		return n
	}
	for _, step := range []struct {
		key  string
		want int64
	}{{"a", 50}, {"b", 25}, {"c", 12}, {"d", 6}, {"e", 3}, {"a", 0}} {
		if got := all(step.key); got != step.want {
			t.Errorf("%s reserved %d, want %d", step.key, got, step.want)
		}
	}
	if b.Used() != 96 {
		t.Errorf("used %d, want 96", b.Used())
	}
	if key, n := b.Largest(); key != "a" || n != 50 {
		t.Errorf("Largest() = %s, %d", key, n)
	}
	b.Release("a", 50)
	if got := all("f"); got != 27 {
		t.Errorf("after a release f reserved %d, want 27", got)
	}
	for key, n := range map[string]int64{"b": 25, "c": 12, "d": 6, "e": 3, "f": 27} {
		b.Release(key, n)
	}
	if key, n := b.Largest(); b.Used() != 0 || key != "" || n != 0 {
		t.Errorf("used %d, largest %q %d after all was released", b.Used(), key, n)
	}
}

// TestBudget_CountsWhatArrives: a body that is announced and does not come holds next
// to nothing.
func TestBudget_CountsWhatArrives(t *testing.T) {
	b := NewBudget(1<<30, 1<<30)
	r, w := io.Pipe()
	defer w.Close()
	body := b.Body("a", r)
	go func() { _, _ = w.Write([]byte("x")) }()
	if _, err := body.Read(make([]byte, 16<<20)); err != nil || b.Used() != step {
		t.Errorf("err = %v, used %d, want %d", err, b.Used(), step)
	}
}

func TestReadEvent(t *testing.T) {
	const whole = `{"specversion":"1.0","id":"1","type":"t","source":"/s","data":{}}`
	small := NewBudget(10, 10)
	for name, tc := range map[string]struct {
		media, body string
		limit       int64
		budget      *Budget
		status      int
	}{
		"taken":    {"application/cloudevents+json", whole, 1 << 20, nil, 0},
		"too long": {"application/cloudevents+json", whole, 10, nil, http.StatusRequestEntityTooLarge},
		"busy":     {"application/cloudevents+json", whole, 1 << 20, small, http.StatusServiceUnavailable},
		"no event": {"application/json", "{}", 1 << 20, nil, http.StatusUnsupportedMediaType},
		"a batch":  {"application/cloudevents-batch+json", "[]", 1 << 20, nil, http.StatusUnsupportedMediaType},
		"invalid":  {"application/cloudevents+json", `{"specversion":"1.0"}`, 1 << 20, nil, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			budget := tc.budget
			if budget == nil {
				budget = NewBudget(1<<20, 1<<20)
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(tc.body))
			r.Header.Set("Content-Type", tc.media)
			_, release, err := ReadEvent(httptest.NewRecorder(), r, tc.limit, budget, "a")
			var refused *EventError
			switch {
			case tc.status == 0 && err == nil:
				release()
			case !errors.As(err, &refused) || refused.Status != tc.status:
				t.Errorf("err = %v, want status %d", err, tc.status)
			}
			if budget.Used() != 0 {
				t.Errorf("%d bytes stay reserved", budget.Used())
			}
		})
	}
}
