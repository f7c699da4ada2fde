// Package audit counts what the operator's controller writes, by the API server's audit
// log of the local cluster.
package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// controller as the API server knows it.
const controller = "system:serviceaccount:knative-lambda:knative-lambda-controller"

// Written counts by verb and resource.
type Written map[string]int

// Total of all verbs and resources.
func (w Written) Total() (n int) {
	for _, count := range w {
		n += count
	}
	return n
}

func (w Written) String() string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(w)) {
		fmt.Fprintf(&b, "    %-34s%d\n", what, w[what])
	}
	return b.String()
}

// Log of the API server, read on from where it was.
type Log struct {
	path    string
	offset  int64
	last    time.Time
	counted Written // and not taken
}

// Open the log that LAMBDA_AUDIT_LOG names, at its end.
func Open() (*Log, error) {
	path := os.Getenv("LAMBDA_AUDIT_LOG")
	if path == "" {
		return nil, errors.New("LAMBDA_AUDIT_LOG: missing; it is of the local cluster: eval \"$(go run ./hack/cluster env)\"")
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return &Log{path: path, offset: info.Size(), last: time.Now(), counted: Written{}}, nil
}

type entry struct {
	Verb           string
	User           struct{ Username string }
	ObjectRef      *struct{ Resource, Subresource string }
	StageTimestamp time.Time
}

func (e *entry) what() string {
	what := e.Verb + " " + e.ObjectRef.Resource
	if e.ObjectRef.Subresource != "" {
		what += "/" + e.ObjectRef.Subresource
	}
	return what
}

// counts reports whether it is a write of the controller.
func (e *entry) counts() bool {
	return e.User.Username == controller && e.ObjectRef != nil && !uncounted[e.ObjectRef.Resource] &&
		slices.Contains([]string{"create", "update", "patch", "delete"}, e.Verb)
}

// leases are written whatever there is to do, and Kubernetes' events are for people.
var uncounted = map[string]bool{"leases": true, "events": true}

// Last is when the last write happened that was read.
func (l *Log) Last() time.Time { return l.last }

// Take what the controller has written since the last time, in any namespace.
func (l *Log) Take() (Written, error) {
	err := l.Read()
	counted := l.counted
	l.counted = Written{}
	return counted, err
}

// Read on.
func (l *Log) Read() error {
	f, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < l.offset {
		return errors.New("the audit log was replaced while it was read")
	}
	if _, err := f.Seek(l.offset, io.SeekStart); err != nil {
		return err
	}
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // the rest is being written
		} else if err != nil {
			return err
		}
		l.offset += int64(len(line))
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("the audit log: %w", err)
		}
		if e.counts() {
			l.last = e.StageTimestamp
			l.counted[e.what()]++
		}
	}
}
