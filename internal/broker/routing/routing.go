// Package routing says which keys an event is published with, which key a Trigger's
// queue is bound to, and what queues are called. Its functions are pure: each replica
// of each version has to compute the same.
package routing

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
)

// The kinds of keys, by what they select of a Broker's events.
const (
	all         = "a"
	byType      = "t"
	bySource    = "s"
	byBoth      = "ts"
	typeAttr    = "type"
	sourceAttr  = "source"
	hashedBytes = 16
)

// encoding makes keys lower case and without padding, so that they are easy to search.
var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// key of a kind. The hash makes it short and of a fixed length, however long types and
// sources are; a key of AMQP has 255 bytes at most.
func key(kind string, broker types.UID, values ...string) string {
	h := sha256.New()
	for _, v := range append([]string{kind, string(broker)}, values...) {
		var length [8]byte // delimits the values, which may have any bytes
		binary.BigEndian.PutUint64(length[:], uint64(len(v)))
		h.Write(length[:])
		h.Write([]byte(v))
	}
	return kind + "." + encoding.EncodeToString(h.Sum(nil)[:hashedBytes])
}

// Keys that an event is published with: one for each kind of binding that a Trigger of
// the Broker may have.
func Keys(broker types.UID, eventType, source string) []string {
	return []string{
		key(all, broker),
		key(byType, broker, eventType),
		key(bySource, broker, source),
		key(byBoth, broker, eventType, source),
	}
}

// Binding is the key that the queue of a Trigger is bound to: the most selective one
// that each event which passes the filter has.
func Binding(broker types.UID, t *eventingv1.Trigger) string {
	r := requirementOf(&t.Spec)
	switch {
	case r.eventType != "" && r.source != "":
		return key(byBoth, broker, r.eventType, r.source)
	case r.eventType != "":
		return key(byType, broker, r.eventType)
	case r.source != "":
		return key(bySource, broker, r.source)
	}
	return key(all, broker)
}

// requirement is what an event must equal to pass a filter; empty is anything.
type requirement struct{ eventType, source string }

// and of two requirements. Where they contradict each other no event passes, and either
// one will do.
func (r requirement) and(other requirement) requirement {
	if r.eventType == "" {
		r.eventType = other.eventType
	}
	if r.source == "" {
		r.source = other.source
	}
	return r
}

func requirementOf(spec *eventingv1.TriggerSpec) requirement {
	switch {
	case len(spec.Filters) > 0: // they replace filter
		return allOf(spec.Filters)
	case spec.Filter != nil: // the empty string stands for any value
		return requirement{spec.Filter.Attributes[typeAttr], spec.Filter.Attributes[sourceAttr]}
	}
	return requirement{}
}

func allOf(filters []eventingv1.SubscriptionsAPIFilter) (r requirement) {
	for i := range filters {
		r = r.and(one(&filters[i]))
	}
	return r
}

// one filter. As in eventing's library, the first dialect that is set counts, in this
// order, and a list with an empty name or value is no filter.
func one(f *eventingv1.SubscriptionsAPIFilter) requirement {
	switch {
	case len(f.Exact) > 0:
		for name, value := range f.Exact {
			if name == "" || value == "" {
				return requirement{}
			}
		}
		return requirement{f.Exact[typeAttr], f.Exact[sourceAttr]}
	case len(f.Prefix) > 0, len(f.Suffix) > 0:
		return requirement{}
	}
	return allOf(f.All)
}

const (
	// maxName is how much of a Trigger's name its queue has.
	maxName = 100
	// maxQueue is the length that AMQP allows. The client truncates longer names without
	// an error.
	maxQueue    = 255
	queuePrefix = "lambda.t."
)

// Queue of a Trigger. The UID makes it unique, the rest is for those who read it.
func Queue(t *eventingv1.Trigger) string {
	name := queuePrefix + t.Namespace + "." + cut(t.Name) + "." + string(t.UID)
	if len(name) > maxQueue { // not with names that an API server accepts
		sum := sha256.Sum256([]byte(name))
		return queuePrefix + encoding.EncodeToString(sum[:])
	}
	return name
}

// Owner of a Trigger's queue.
type Owner struct {
	// Name of the Trigger, or the start of it if Cut.
	Namespace, Name string
	UID             types.UID
	Cut             bool
}

// OwnerOf a queue by a name that Queue returned; false if the name does not say it.
func OwnerOf(queue string) (o Owner, ok bool) {
	rest, ok := strings.CutPrefix(queue, queuePrefix)
	first, last := strings.Index(rest, "."), strings.LastIndex(rest, ".")
	if !ok || first <= 0 || last <= first+1 || last == len(rest)-1 {
		return Owner{}, false
	}
	o = Owner{Namespace: rest[:first], Name: rest[first+1 : last], UID: types.UID(rest[last+1:])}
	o.Cut = len(o.Name) >= maxName-utf8.UTFMax
	return o, true
}

func cut(name string) string {
	if len(name) <= maxName {
		return name
	}
	name = name[:maxName]
	for !utf8.ValidString(name) && name != "" {
		name = name[:len(name)-1]
	}
	return strings.TrimRight(name, ".")
}
