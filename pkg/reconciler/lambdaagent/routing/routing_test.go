package routing

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

func key(text string) types.NamespacedName {
	namespace, name, _ := strings.Cut(text, "/")
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// declared is an agent as users write it.
func declared(t testing.TB, where, spec string) *v1alpha1.LambdaAgent {
	t.Helper()
	k := key(where)
	a := &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}}
	if err := yaml.UnmarshalStrict([]byte(spec), &a.Spec); err != nil {
		t.Fatal(err)
	}
	if a.Spec.Eventing != nil {
		a.Spec.Eventing.Enabled = true
	}
	return a
}

func indexOf(t testing.TB, agents map[string]string) *Index {
	t.Helper()
	x := NewIndex()
	for where, spec := range agents {
		x.Set(key(where), Of(declared(t, where, spec)))
	}
	return x
}

// told is a route in one line.
func told(routes []Route) (lines []string) {
	for _, r := range routes {
		line := fmt.Sprintf("%s %s to %s", r.Kind, r.Type, r.Target)
		if r.Relay {
			line += ", relayed"
		}
		if r.Reason != "" {
			line += ": " + r.Reason
		}
		for _, k := range r.Circle {
			line += " " + k.Name
		}
		lines = append(lines, line)
	}
	return lines
}

func TestRoutes(t *testing.T) {
	const open = "permissions: {allowedTargetNamespaces: ['*']}\n"
	for _, tt := range []struct {
		name   string
		agents map[string]string
		want   []string // of team/a
	}{
		{"nobody", map[string]string{"team/a": "eventing: {intents: [x.w]}"}, nil},
		{"no broker", map[string]string{"team/a": "{}", "team/b": "eventing: {subscriptions: [{eventType: x}]}"}, nil},
		{"the whole type", map[string]string{"team/a": "eventing: {intents: [x.w]}", "team/b": "eventing: {subscriptions: [{eventType: x.w}]}"}, []string{"intent x.w to team/b"}},
		{"a dotted suffix", map[string]string{"team/a": "eventing: {intents: [chat.intent.projects]}", "team/b": "eventing: {subscriptions: [{eventType: io.homelab.chat.intent.projects}]}"},
			[]string{"intent io.homelab.chat.intent.projects to team/b"}},
		{"a suffix without its dot", map[string]string{"team/a": "eventing: {intents: [w]}", "team/b": "eventing: {subscriptions: [{eventType: xw}, {eventType: w.x}]}"}, nil},
		{"longer than the type", map[string]string{"team/a": "eventing: {intents: [x.w]}", "team/b": "eventing: {subscriptions: [{eventType: w}]}"}, nil},
		{"several types of an intent, and several agents", map[string]string{"team/a": "eventing: {intents: [w]}", "team/b": "eventing: {subscriptions: [{eventType: x.w}, {eventType: w}, {eventType: x.w, source: '/team/a'}]}", "team/c": "eventing: {subscriptions: [{eventType: w}]}"},
			[]string{"intent w to team/b", "intent w to team/c", "intent x.w to team/b"}},
		{"two intents of a type", map[string]string{"team/a": "eventing: {intents: [w, x.w]}", "team/b": "eventing: {subscriptions: [{eventType: x.w}]}"}, []string{"intent x.w to team/b"}},
		{"never to itself", map[string]string{"team/a": "eventing: {intents: [w], subscriptions: [{eventType: w, source: /other}], forwards: [{eventTypes: [z], targetAgent: a}]}"}, nil},
		{"a subscription to its source", map[string]string{"team/a": "eventing: {intents: [w]}", "team/b": "eventing: {subscriptions: [{eventType: w, source: /team/a}]}"}, []string{"intent w to team/b"}},
		{"a subscription to another's", map[string]string{"team/a": "eventing: {intents: [w]}", "team/b": "eventing: {subscriptions: [{eventType: w, source: /team/c}]}"}, nil},
		{"a subscription to any source", map[string]string{"team/a": "eventing: {intents: [w]}", "team/b": "eventing: {subscriptions: [{eventType: w, source: '*'}]}"}, []string{"intent w to team/b"}},
		{"a subscription to what the other emits itself", map[string]string{"team/a": "eventing: {intents: [w]}", "team/b": "eventing: {intents: [w], subscriptions: [{eventType: w}]}"}, []string{"intent w to team/b"}},
		{"a subscription to its own events only", map[string]string{"team/a": "eventing: {intents: [w]}", "team/b": "eventing: {intents: [w], subscriptions: [{eventType: w, source: /team/b}]}"}, nil},
		{"a subscription of which the source tells it from what the other emits", map[string]string{"team/a": "eventing: {intents: [w]}", "team/b": "eventing: {intents: [w], subscriptions: [{eventType: w}, {eventType: w, source: /team/a}]}"}, []string{"intent w to team/b"}},
		{"another namespace without consent", map[string]string{"team/a": "eventing: {intents: [w]}", "data/b": "eventing: {subscriptions: [{eventType: w}]}"}, nil},
		{"without consent to whom asks for its events", map[string]string{"team/a": "eventing: {intents: [w]}", "data/b": "eventing: {subscriptions: [{eventType: w}, {eventType: w, source: /team/a}]}"}, []string{"intent w to data/b: TargetNotAllowed"}},
		{"with consent of both sides", map[string]string{"team/a": "permissions: {allowedTargetNamespaces: [data]}\neventing: {intents: [w]}", "data/b": "eventing: {allowedSourceNamespaces: [team], subscriptions: [{eventType: w}]}", "more/b": "eventing: {allowedSourceNamespaces: [team], subscriptions: [{eventType: w}]}"}, []string{"intent w to data/b"}},
		{"with consent of both sides to all", map[string]string{"team/a": open + "eventing: {intents: [w]}", "data/b": "eventing: {allowedSourceNamespaces: ['*'], subscriptions: [{eventType: w}]}", "more/b": "eventing: {allowedSourceNamespaces: [team], subscriptions: [{eventType: w}]}"}, []string{"intent w to data/b", "intent w to more/b"}},
		{"without consent of the receiver, whose subscriptions are not reported", map[string]string{"team/a": open + "eventing: {intents: [w]}", "data/b": "eventing: {subscriptions: [{eventType: w}]}", "more/b": "eventing: {allowedSourceNamespaces: [data], subscriptions: [{eventType: w}]}"}, nil},
		{"a receiver that names the sender", map[string]string{"team/a": open + "eventing: {intents: [w]}", "data/b": "eventing: {subscriptions: [{eventType: w, source: /team/a}]}"}, []string{"intent w to data/b"}},
		{"a claimed source is no consent", map[string]string{"team/a": open + "eventing: {eventSource: /bank/teller, intents: [w], forwards: [{eventTypes: [w], targetAgent: b, targetNamespace: data}]}", "data/b": "eventing: {subscriptions: [{eventType: w, source: /bank/teller}]}"},
			[]string{"forward w to data/b: SourceNotAllowed"}},
		{"a claimed source of no agent", map[string]string{"team/a": open + "eventing: {eventSource: /bank, forwards: [{eventTypes: [z], targetAgent: b, targetNamespace: data}]}", "data/b": "eventing: {subscriptions: [{eventType: z, source: /bank}]}"},
			[]string{"forward z to data/b: SourceNotAllowed"}},
		{"an agent that says it is another one", map[string]string{"team/a": open + "eventing: {eventSource: /other/x, forwards: [{eventTypes: [z], targetAgent: b, targetNamespace: data}]}", "data/b": "eventing: {subscriptions: [{eventType: z, source: /team/a}]}"},
			[]string{"forward z to data/b: SourceNotAllowed"}},
		{"a forward to a namespace that names the sender", map[string]string{"team/a": open + "eventing: {forwards: [{eventTypes: [v, z], targetAgent: b, targetNamespace: data}]}", "data/b": "eventing: {subscriptions: [{eventType: z, source: /team/a}]}"},
			[]string{"forward v to data/b: SourceNotAllowed", "forward z to data/b"}},
		{"a relay to a namespace that names the sender only", map[string]string{"team/a": open + "eventing: {forwards: [{eventTypes: [z], targetAgent: b, targetNamespace: data, relay: true}]}", "data/b": "eventing: {subscriptions: [{eventType: z, source: /team/a}]}"},
			[]string{"forward z to data/b, relayed: SourceNotAllowed"}},
		{"a forward to a namespace that allows it", map[string]string{"team/a": open + "eventing: {forwards: [{eventTypes: [z], targetAgent: b, targetNamespace: data, relay: true}]}", "data/b": "eventing: {allowedSourceNamespaces: [team]}"}, []string{"forward z to data/b, relayed"}},
		{"a missing agent of another namespace", map[string]string{"team/a": open + "eventing: {forwards: [{eventTypes: [z], targetAgent: b, targetNamespace: data}]}"}, []string{"forward z to data/b: SourceNotAllowed"}},
		{"one without a broker", map[string]string{"team/a": open + "eventing: {forwards: [{eventTypes: [z], targetAgent: b, targetNamespace: data}]}", "data/b": "{}"}, []string{"forward z to data/b: SourceNotAllowed"}},
		{"a prefix of types, and of other sources", map[string]string{"team/a": "eventing: {intents: [w]}", "team/b": "eventing: {subscriptions: [{eventType: w*}, {eventType: w, source: '/other/*'}]}"}, nil},
		{"a prefix of its source", map[string]string{"team/a": "eventing: {intents: [w]}", "team/b": "eventing: {subscriptions: [{eventType: w, source: '/team/*'}]}"}, []string{"intent w to team/b"}},
		{"a prefix of sources is no consent", map[string]string{"team/a": open + "eventing: {intents: [w]}", "data/b": "eventing: {subscriptions: [{eventType: w, source: '/team/a*'}]}"}, nil},
		{"a subscription with further filters", map[string]string{"team/a": "eventing: {intents: [w]}", "team/b": "eventing: {subscriptions: [{eventType: w, filters: [{cesql: 'TRUE'}]}]}"}, []string{"intent w to team/b"}},
		{"one source of two agents", map[string]string{"team/a": "eventing: {eventSource: /s, intents: [w], forwards: [{eventTypes: [z], targetAgent: b}]}", "team/b": "eventing: {eventSource: /s, subscriptions: [{eventType: w}]}"},
			[]string{"intent w to team/b: SameEventSource", "forward z to team/b: SameEventSource"}},
		{"a forward without a subscription", map[string]string{"team/a": "eventing: {forwards: [{eventTypes: [z, w], targetAgent: b}]}", "team/b": "eventing: {}"}, []string{"forward w to team/b", "forward z to team/b"}},
		{"a forward that waits", map[string]string{"team/a": "eventing: {forwards: [{eventTypes: [z], targetAgent: b}]}", "team/b": "{}"}, []string{"forward z to team/b: TargetNotFound"}},
		{"a forward that is not allowed", map[string]string{"team/a": "eventing: {forwards: [{eventTypes: [z], targetAgent: b, targetNamespace: data}]}", "data/b": "eventing: {}"}, []string{"forward z to data/b: TargetNotAllowed"}},
		{"an intent and a forward", map[string]string{"team/a": "eventing: {intents: [z], forwards: [{eventTypes: [z], targetAgent: b}]}", "team/b": "eventing: {subscriptions: [{eventType: z}]}"}, []string{"intent z to team/b", "forward z to team/b"}},
		{"a relay", map[string]string{"team/a": "eventing: {forwards: [{eventTypes: [z], targetAgent: b, relay: true}]}", "team/b": "eventing: {}"}, []string{"forward z to team/b, relayed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, told(indexOf(t, tt.agents).Routes(key("team/a")))); diff != "" {
				t.Error("(-want, +got):", diff)
			}
		})
	}
}

func TestCircles(t *testing.T) {
	relay := func(target string) string {
		return "eventing: {forwards: [{eventTypes: [z], targetAgent: " + target + ", relay: true}]}"
	}
	for _, tt := range []struct {
		name   string
		agents map[string]string
		want   []string // of team/a
	}{
		{"a chain", map[string]string{"team/a": relay("b"), "team/b": relay("c"), "team/c": "eventing: {}"}, []string{"forward z to team/b, relayed"}},
		{"two", map[string]string{"team/a": relay("b"), "team/b": relay("a")}, []string{"forward z to team/b, relayed: RelayCircle a b"}},
		{"three", map[string]string{"team/a": relay("b"), "team/b": relay("c"), "team/c": relay("a")}, []string{"forward z to team/b, relayed: RelayCircle a b c"}},
		{"a circle that it leads to and is not in", map[string]string{"team/a": relay("b"), "team/b": relay("c"), "team/c": relay("b")}, []string{"forward z to team/b, relayed"}},
		{"of two types", map[string]string{"team/a": relay("b"), "team/b": "eventing: {forwards: [{eventTypes: [w], targetAgent: a, relay: true}]}"}, []string{"forward z to team/b, relayed"}},
		{"closed by somebody's own events", map[string]string{"team/a": relay("b"), "team/b": "eventing: {forwards: [{eventTypes: [z], targetAgent: a}]}"}, []string{"forward z to team/b, relayed: RelayCircle a b"}},
		{"closed by somebody's intent", map[string]string{"team/a": "eventing: {subscriptions: [{eventType: z, source: /team/b}], forwards: [{eventTypes: [z], targetAgent: b, relay: true}]}", "team/b": "eventing: {intents: [z]}"}, []string{"forward z to team/b, relayed: RelayCircle a b"}},
		{"two agents' own events do not pass each other's routes", map[string]string{
			"team/a": relay("b"), "team/b": "eventing: {forwards: [{eventTypes: [z], targetAgent: c}]}", "team/c": "eventing: {forwards: [{eventTypes: [z], targetAgent: a}]}"},
			[]string{"forward z to team/b, relayed"}},
		{"own events over a relay of others", map[string]string{
			"team/a": relay("b"), "team/b": "eventing: {forwards: [{eventTypes: [z], targetAgent: c}]}", "team/c": relay("a")},
			[]string{"forward z to team/b, relayed: RelayCircle a b c"}},
		{"over a namespace that does not consent", map[string]string{
			"team/a": "permissions: {allowedTargetNamespaces: [data]}\neventing: {forwards: [{eventTypes: [z], targetAgent: b, targetNamespace: data, relay: true}]}",
			"data/b": "permissions: {allowedTargetNamespaces: [team]}\neventing: {allowedSourceNamespaces: [team], forwards: [{eventTypes: [z], targetAgent: a, targetNamespace: team, relay: true}]}"},
			[]string{"forward z to data/b, relayed"}},
		{"over a namespace that is not allowed", map[string]string{
			"team/a": "permissions: {allowedTargetNamespaces: [data]}\neventing: {forwards: [{eventTypes: [z], targetAgent: b, targetNamespace: data, relay: true}]}",
			"data/b": "eventing: {allowedSourceNamespaces: [team], forwards: [{eventTypes: [z], targetAgent: a, targetNamespace: team, relay: true}]}"},
			[]string{"forward z to data/b, relayed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, told(indexOf(t, tt.agents).Routes(key("team/a")))); diff != "" {
				t.Error("(-want, +got):", diff)
			}
		})
	}
}

// TestAffected: whoever's routes may be others is told, and nobody else.
func TestAffected(t *testing.T) {
	agents := map[string]string{
		"team/emitter":   "eventing: {intents: [order.created]}",
		"team/other":     "eventing: {intents: [order.paid]}",
		"data/stranger":  "eventing: {intents: [order.created]}",
		"data/friend":    "permissions: {allowedTargetNamespaces: [team]}\neventing: {intents: [created]}",
		"team/forwarder": "eventing: {forwards: [{eventTypes: [z], targetAgent: b}]}",
		"data/sender":    "permissions: {allowedTargetNamespaces: [team]}\neventing: {forwards: [{eventTypes: [z], targetAgent: b, targetNamespace: team}]}",
		"team/relay":     "eventing: {forwards: [{eventTypes: [q], targetAgent: emitter, relay: true}]}",
	}
	const subscribes = "eventing: {subscriptions: [{eventType: shop.order.created}]}"
	for _, tt := range []struct{ name, before, now, want string }{
		{"it comes", "{}", subscribes, "data/friend data/sender team/emitter team/forwarder"},
		{"it goes", subscribes, "{}", "data/friend data/sender team/emitter team/forwarder"},
		{"consent to a namespace", subscribes, "eventing: {allowedSourceNamespaces: [data], subscriptions: [{eventType: shop.order.created}]}", "data/friend data/sender team/emitter team/forwarder"},
		{"consent to an agent", "eventing: {}", "eventing: {subscriptions: [{eventType: z, source: /data/sender}]}", "data/sender"},
		{"no consent any more", "eventing: {subscriptions: [{eventType: z, source: /data/sender}]}", "eventing: {}", "data/sender"},
		{"nothing that matters", subscribes, "behavior: {systemPrompt: x}\n" + subscribes, ""},
		{"one subscription more", subscribes, "eventing: {subscriptions: [{eventType: shop.order.created}, {eventType: order.paid}]}", "team/other"},
		{"one less", "eventing: {subscriptions: [{eventType: shop.order.created}, {eventType: order.paid}]}", subscribes, "team/other"},
		{"its own intents", subscribes, "eventing: {intents: [new], subscriptions: [{eventType: shop.order.created}]}", ""},
		{"another source", subscribes, "eventing: {eventSource: /new, subscriptions: [{eventType: shop.order.created}]}", "data/friend data/sender team/emitter team/forwarder"},
		{"a subscription to one source", "eventing: {}", "eventing: {subscriptions: [{eventType: order.created, source: /team/emitter}]}", "team/emitter"},
		{"what a relay passes on", "eventing: {}", "eventing: {intents: [q]}", "team/relay"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := indexOf(t, agents)
			x.Set(key("team/b"), Of(declared(t, "team/b", tt.before)))
			var got []string
			for _, k := range x.Set(key("team/b"), Of(declared(t, "team/b", tt.now))) {
				got = append(got, k.String())
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Error("(-want, +got):", diff)
			}
		})
	}
}

// naive is the routes of an agent by a look at all of them.
func naive(all map[types.NamespacedName]*Agent, a *Agent) (lines []string) {
	if a == nil {
		return nil
	}
	for k, b := range all {
		if b == nil || k == a.Key || !a.allows(k.Namespace) {
			continue
		}
		types := map[string]bool{}
		for _, s := range b.Subscriptions {
			types[s.Type] = types[s.Type] || (a.emits(s.Type) && (s.Source == "" || s.Source == a.Source) && consents(b, a, s.Type, false))
		}
		for eventType, yes := range types {
			if yes && b.Source != a.Source {
				lines = append(lines, "intent "+eventType+" to "+k.String())
			}
		}
	}
	for _, f := range a.Forwards {
		if b := all[f.Target]; b != nil && f.Target != a.Key && a.allows(f.Target.Namespace) && (f.Relay || b.Source != a.Source) && consents(b, a, f.Type, f.Relay) {
			lines = append(lines, fmt.Sprintf("forward %s to %s %t", f.Type, f.Target, f.Relay))
		}
	}
	slices.Sort(lines)
	return lines
}

// consents is the consent of an agent to a route from another, written out.
func consents(target, sender *Agent, eventType string, relay bool) bool {
	if target.Key.Namespace == sender.Key.Namespace || slices.Contains(target.Accepted, "*") || slices.Contains(target.Accepted, sender.Key.Namespace) {
		return true
	}
	for _, s := range target.Subscriptions {
		if !relay && s.Type == eventType && s.Source == sender.Source && s.Source == "/"+sender.Key.Namespace+"/"+sender.Key.Name {
			return true
		}
	}
	return false
}

func made(routes []Route, circles bool) (lines []string) {
	for _, r := range routes {
		switch {
		case r.Reason != "" && (!circles || r.Circle == nil):
		case r.Kind == v1alpha1.RouteIntent:
			lines = append(lines, "intent "+r.Type+" to "+r.Target.String())
		default:
			lines = append(lines, fmt.Sprintf("forward %s to %s %t", r.Type, r.Target, r.Relay))
		}
	}
	slices.Sort(lines)
	return lines
}

// loops reports whether an event of a type can come back to a broker over routes that are
// made.
func loops(x *Index, all map[types.NamespacedName]*Agent) string {
	for k, emitter := range all {
		if emitter == nil {
			continue
		}
		for _, eventType := range []string{"a", "b.a", "c.b.a", "b", "c.b"} {
			var walk func(at types.NamespacedName, path []types.NamespacedName) string
			walk = func(at types.NamespacedName, path []types.NamespacedName) string {
				if slices.Contains(path, at) {
					return fmt.Sprint(eventType, " of ", k, ": ", path, at)
				}
				for _, r := range x.Routes(at) {
					if r.Reason == "" && r.Type == eventType && (r.Relay || all[at].Source == emitter.Source) {
						if found := walk(r.Target, append(slices.Clone(path), at)); found != "" {
							return found
						}
					}
				}
				return ""
			}
			if found := walk(k, nil); found != "" {
				return found
			}
		}
	}
	return ""
}

// TestIndexAgainstScan: after any changes, the index answers what a look at all agents
// does, only those that it told of have other routes than before, and no event can go
// round.
func TestIndexAgainstScan(t *testing.T) {
	for seed := range int64(60) {
		random := rand.New(rand.NewSource(seed))
		x, all := NewIndex(), map[types.NamespacedName]*Agent{}
		for step := range 60 {
			a := someAgent(random)
			before := map[types.NamespacedName][]string{}
			for k := range all {
				before[k] = told(x.Routes(k))
			}
			now := a
			if random.Intn(4) == 0 {
				now = nil
			}
			affected := x.Set(a.Key, now)
			if all[a.Key] = now; now == nil {
				delete(all, a.Key)
			}
			for k, b := range all {
				if diff := cmp.Diff(naive(all, b), made(x.Routes(k), true)); diff != "" {
					t.Fatalf("seed %d, step %d: routes of %s (-scan, +index): %s", seed, step, k, diff)
				}
				if was, known := before[k]; known && k != a.Key && !slices.Contains(affected, k) {
					if diff := cmp.Diff(was, told(x.Routes(k))); diff != "" {
						t.Fatalf("seed %d, step %d: %s was not told that %s changed (-before, +now): %s", seed, step, k, a.Key, diff)
					}
				}
			}
			if found := loops(x, all); found != "" {
				t.Fatalf("seed %d, step %d: an event goes round: %s", seed, step, found)
			}
		}
		for k := range all {
			x.Set(k, nil)
		}
		if len(x.agents)+len(x.byIntent)+len(x.bySuffix)+len(x.byTarget)+len(x.byRelay) > 0 {
			t.Fatalf("seed %d: the index keeps agents that have gone", seed)
		}
	}
}

func someAgent(random *rand.Rand) *Agent {
	names, namespaces, kinds := []string{"p", "q", "r"}, []string{"m", "n"}, []string{"a", "b.a", "c.b.a", "b", "c.b"}
	pick := func(all []string) string { return all[random.Intn(len(all))] }
	a := &Agent{Key: types.NamespacedName{Namespace: pick(namespaces), Name: pick(names)}}
	a.Source = "/" + a.Key.String()
	if random.Intn(6) == 0 {
		a.Source = "/same"
	}
	for range random.Intn(3) {
		if intent := pick(kinds); !slices.Contains(a.Intents, intent) {
			a.Intents = append(a.Intents, intent)
		}
	}
	for range random.Intn(3) {
		s := Subscription{Type: pick(kinds)}
		if random.Intn(3) == 0 {
			s.Source = "/" + pick(namespaces) + "/" + pick(names)
		}
		a.Subscriptions = append(a.Subscriptions, s)
	}
	seen := map[Forward]bool{}
	for range random.Intn(4) {
		f := Forward{Type: pick(kinds), Target: types.NamespacedName{Namespace: pick(namespaces), Name: pick(names)}}
		if !seen[f] {
			seen[f] = true
			f.Relay = random.Intn(2) == 0
			a.Forwards = append(a.Forwards, f)
		}
	}
	switch random.Intn(3) {
	case 0:
		a.Allowed = []string{"*"}
	case 1:
		a.Allowed = []string{pick(namespaces)}
	}
	switch random.Intn(3) {
	case 0:
		a.Accepted = []string{"*"}
	case 1:
		a.Accepted = []string{pick(namespaces)}
	}
	return a
}
