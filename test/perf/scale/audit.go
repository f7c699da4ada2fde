package main

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

// written counts by verb and resource.
type written map[string]int

func (w written) total() (n int) {
	for _, count := range w {
		n += count
	}
	return n
}

func (w written) String() string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(w)) {
		fmt.Fprintf(&b, "    %-34s%d\n", what, w[what])
	}
	return b.String()
}

// auditLog of the API server, read on from where it was.
type auditLog struct {
	path    string
	offset  int64
	last    time.Time // of the last write that was read
	counted written   // and not taken
}

func newAuditLog(path string) (*auditLog, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return &auditLog{path: path, offset: info.Size(), last: time.Now(), counted: written{}}, nil
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

// leases are written whatever there is to do, and Kubernetes' events tell people.
var uncounted = map[string]bool{"leases": true, "events": true}

// take what the controller has written since the last time, in any namespace.
func (l *auditLog) take() (written, error) {
	err := l.read()
	counted := l.counted
	l.counted = written{}
	return counted, err
}

// read on.
func (l *auditLog) read() error {
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
		return errors.New("the audit log was begun anew while it was read")
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
		if e.User.Username != controller || e.ObjectRef == nil || uncounted[e.ObjectRef.Resource] || !slices.Contains([]string{"create", "update", "patch", "delete"}, e.Verb) {
			continue
		}
		l.last = e.StageTimestamp
		l.counted[e.what()]++
	}
}
