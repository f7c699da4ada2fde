package replicas_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/replicas"
)

// fixture is two replicas and what the Waiter did.
type fixture struct {
	mu        sync.Mutex
	serving   map[string]replicas.Generations
	failing   string
	rounds    int
	asked     int // UIDs in the largest question
	enqueued  []types.NamespacedName
	addresses []string
	waiter    *replicas.Waiter
}

func bubble(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{serving: map[string]replicas.Generations{"a": {}, "b": {}}, addresses: []string{"a", "b"}}
		f.waiter = replicas.NewWaiter(replicas.Options{
			Addresses: func() []string { f.mu.Lock(); defer f.mu.Unlock(); return f.addresses },
			Ask:       f.ask,
			Enqueue: func(key types.NamespacedName) {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.enqueued = append(f.enqueued, key)
			},
			Report: func(string, error) {},
		})
		go f.waiter.Run(t.Context())
		test(t, f)
	})
}

func (f *fixture) ask(_ context.Context, address string, uids []types.UID) (replicas.Generations, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rounds++
	f.asked = max(f.asked, len(uids))
	if address == f.failing {
		return nil, errors.New("no answer")
	}
	answer := replicas.Generations{}
	for _, uid := range uids {
		if g, ok := f.serving[address][uid]; ok {
			answer[uid] = g
		}
	}
	return answer, nil
}

func (f *fixture) serve(address string, uid types.UID, generation int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.serving[address][uid] = generation
}

var key = types.NamespacedName{Namespace: "team", Name: "orders"}

func TestServes_WhenEveryReplicaDoes(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fixture) {
		f.serve("a", "u", 2)
		f.serve("b", "u", 1)
		if f.waiter.Serves(key, "u", 2) {
			t.Fatal("served before anyone was asked")
		}
		time.Sleep(time.Minute)
		if f.waiter.Serves(key, "u", 2) || len(f.enqueued) > 0 {
			t.Fatal("served although one replica is behind")
		}
		if f.rounds > 2*30 {
			t.Errorf("%d questions in a minute: no backoff", f.rounds)
		}
		f.serve("b", "u", 2)
		time.Sleep(6 * time.Second)
		if !f.waiter.Serves(key, "u", 2) {
			t.Error("not served although every replica does")
		}
		if diff := cmp.Diff([]types.NamespacedName{key}, f.enqueued); diff != "" {
			t.Error("enqueued (-want, +got):", diff)
		}
		if f.waiter.Serves(key, "u", 3) || f.waiter.Serves(key, "another", 1) {
			t.Error("served a later generation, or another Trigger of the name")
		}
	})
}

func TestServes_NotWithout(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*fixture){
		"a replica that answers":         func(f *fixture) { f.failing = "a" },
		"any replica":                    func(f *fixture) { f.addresses = nil },
		"a replica that knows it":        func(f *fixture) { delete(f.serving["a"], "u") },
		"the last replica's knowing":     func(f *fixture) { delete(f.serving["b"], "u") },
		"the first replica's generation": func(f *fixture) { f.serving["a"]["u"] = 0 },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, f *fixture) {
				f.serving = map[string]replicas.Generations{"a": {"u": 1}, "b": {"u": 1}}
				change(f)
				f.waiter.Serves(key, "u", 1)
				time.Sleep(time.Minute)
				if f.waiter.Serves(key, "u", 1) {
					t.Error("served")
				}
			})
		})
	}
}

func TestWaiter_AsksForAllAtOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fixture) {
		for i := range 100 {
			uid := types.UID(strings.Repeat("u", i+1))
			f.serve("a", uid, 1)
			f.serve("b", uid, 1)
			f.waiter.Serves(types.NamespacedName{Namespace: "team", Name: string(uid)}, uid, 1)
		}
		time.Sleep(time.Second)
		if f.rounds > 4 || f.asked != 100 || len(f.enqueued) != 100 {
			t.Errorf("%d questions, %d Triggers in one, %d enqueued; want at most 4, 100, 100", f.rounds, f.asked, len(f.enqueued))
		}
	})
}

func TestClient_Ask(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var uids []types.UID
		if err := json.NewDecoder(r.Body).Decode(&uids); err != nil || r.Method != http.MethodPost || r.URL.Path != "/generations" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(replicas.Generations{uids[0]: 7})
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	got, err := replicas.NewClient(func(string, netip.Addr) error { return nil }).Ask(t.Context(), address, []types.UID{"u", "v"})
	if diff := cmp.Diff(replicas.Generations{"u": 7}, got); err != nil || diff != "" {
		t.Errorf("Ask() = %v, (-want, +got): %s", err, diff)
	}
	server.Config.Handler = http.NotFoundHandler()
	if _, err = replicas.NewClient(func(string, netip.Addr) error { return nil }).Ask(t.Context(), address, nil); err == nil {
		t.Error("no error for 404")
	}
}
