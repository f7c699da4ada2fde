package async

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestExpire_LetsGo: what expires holds no query, is dropped after a while, and counts
// the failures before the next call until then.
func TestExpire_LetsGo(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.then = Expire
		f.Check(one, "a", "")
		after(time.Second)
		if f.Wanted("a") || f.count(one) != 1 {
			t.Errorf("wanted after its result: %t, enqueued %d times; want false and once", f.Wanted("a"), f.count(one))
		}
		f.Check(two, "a", "") // known
		after(interval + rememberFor + sweepEvery)
		f.Check(two, "b", "")
		if _, ok := f.Peek("a"); ok {
			t.Error("a result that expired long ago is kept")
		}
	})
}

// TestSetAndInvalidate: a result that is known without a call is good until it expires
// or is invalid. One that is awaited is not replaced.
func TestSetAndInvalidate(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.then = Expire
		f.Set("a", answer{text: "set"}, interval)
		if got, ok := f.Check(one, "a", ""); !ok || got.text != "set" {
			t.Errorf("Check() = %v, %t, want what was set", got, ok)
		}
		f.Invalidate(func(id string, a answer) bool { return id == "a" && a.text == "set" })
		f.slow("a", time.Second, nil)
		if _, ok := f.Check(one, "a", ""); ok {
			t.Error("a result that is invalid")
		}
		synctest.Wait()
		f.Set("a", answer{text: "set"}, interval)
		if !f.Await(two, "a", "") || f.Await(two, "b", "") {
			t.Error("Await() does not report which call is under way")
		}
		after(2 * time.Second)
		if got, ok := f.Check(one, "a", ""); !ok || got.text != "" || f.count(two) != 1 || f.Await(two, "a", "") {
			t.Errorf("Check() = %v, %t, enqueued %v; want the call's result, for both", got, ok, f.enqueued)
		}
		if n := len(f.times("a")); n != 1 {
			t.Errorf("called %d times, want once", n)
		}
	})
}

// TestStarted: how many wait in line, and how long each has.
func TestStarted(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		waits := map[time.Duration]int{}
		f.Started = func(_ string, waited time.Duration) { waits[waited]++ }
		for i := range 6 {
			id := fmt.Sprint(i)
			f.slow(id, time.Second, nil)
			f.Check(one, id, "")
		}
		synctest.Wait()
		if n := f.Depth(); n != 2 {
			t.Errorf("%d wait, want 2", n)
		}
		after(2 * time.Second)
		if f.Depth() != 0 || waits[0] != 4 || waits[time.Second] != 2 {
			t.Errorf("%d wait, others have for %v; want none, and 4 and 2", f.Depth(), waits)
		}
	})
}
