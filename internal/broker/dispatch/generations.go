package dispatch

import (
	"encoding/json"
	"net/http"

	"k8s.io/apimachinery/pkg/types"
)

// GenerationsPath of Generations.
const GenerationsPath = "/generations"

// maxGenerationsBody is enough for 100,000 UIDs.
const maxGenerationsBody = 8 << 20

// Generations answers which generation of each Trigger this replica serves. The request
// has a JSON list of UIDs, and the response a JSON object with those that are known. A
// Trigger whose filter is not valid is not served. One that waits for something else is:
// its events will be judged by that generation.
// While the dispatcher stops it judges no more events, and serves what it was last given.
func (d *Dispatcher) Generations(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "expected GET or POST", http.StatusMethodNotAllowed)
		return
	}
	var uids []types.UID
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxGenerationsBody)).Decode(&uids); err != nil {
		http.Error(w, "expected a JSON list of UIDs: "+err.Error(), http.StatusBadRequest)
		return
	}
	served := make(map[types.UID]int64, len(uids))
	for _, uid := range uids {
		if s := d.subscription(uid); s != nil && s.filter.err == nil {
			served[uid] = s.generation
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(served) // it fails only if the client has closed the connection
}
