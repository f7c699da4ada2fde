package routing

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
)

const broker = types.UID("7d7ca3b3-3e0d-4c44-9d2c-1d2f7e2a0f51")

type filters = []eventingv1.SubscriptionsAPIFilter

func exact(pairs ...string) eventingv1.SubscriptionsAPIFilter {
	f := eventingv1.SubscriptionsAPIFilter{Exact: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		f.Exact[pairs[i]] = pairs[i+1]
	}
	return f
}

func TestKeys(t *testing.T) {
	t.Parallel()
	keys := Keys(broker, "order.created", "/shop")
	// Bindings in RabbitMQ outlive the version that made them: these values must not change.
	want := []string{
		"a.bcpwv7qzolxofbsfx32i2sqi6a",
		"t.ctlwxkjcxqgnaomuzcnalaupca",
		"s.eya5sdrbmod7t2uhpqm5ebbpru",
		"ts.y6kwyljs7m6t5opuksamzqx3pi",
	}
	if !slices.Equal(keys, want) {
		t.Errorf("Keys() = %q, want %q", keys, want)
	}
	seen := map[string][]string{}
	for _, e := range [][]string{{"a", "bc"}, {"ab", "c"}, {"", "abc"}, {"abc", ""}, {"bc", "a"}, {strings.Repeat("x", 100_000), "\x00"}} {
		for _, k := range Keys(broker, e[0], e[1])[1:] {
			if !strings.HasPrefix(k, "ts.") {
				continue
			}
			if other, ok := seen[k]; ok {
				t.Errorf("%q and %q have the same key", other, e)
			}
			seen[k] = e
			if len(k) > 32 {
				t.Errorf("key %s has %d bytes", k, len(k))
			}
		}
	}
	for _, k := range Keys("another", "order.created", "/shop") {
		if slices.Contains(keys, k) {
			t.Errorf("two Brokers share the key %s", k)
		}
	}
}

func TestBinding(t *testing.T) {
	t.Parallel()
	const (
		typ = "order.created"
		src = "/shop"
	)
	keys := Keys(broker, typ, src)
	everything, ofType, ofSource, ofBoth := keys[0], keys[1], keys[2], keys[3]
	attributes := func(a eventingv1.TriggerFilterAttributes) *eventingv1.TriggerFilter {
		return &eventingv1.TriggerFilter{Attributes: a}
	}
	for name, tc := range map[string]struct {
		filter  *eventingv1.TriggerFilter
		filters filters
		want    string
	}{
		"no filter":             {want: everything},
		"empty filter":          {filter: &eventingv1.TriggerFilter{}, want: everything},
		"type":                  {filter: attributes(map[string]string{"type": typ}), want: ofType},
		"source":                {filter: attributes(map[string]string{"source": src, "subject": "x"}), want: ofSource},
		"both":                  {filter: attributes(map[string]string{"type": typ, "source": src}), want: ofBoth},
		"any value":             {filter: attributes(map[string]string{"type": "", "source": src}), want: ofSource},
		"another attribute":     {filter: attributes(map[string]string{"Type": typ}), want: everything},
		"empty filters":         {filter: attributes(map[string]string{"type": typ}), filters: filters{}, want: ofType},
		"filters replace":       {filter: attributes(map[string]string{"type": typ}), filters: filters{exact("source", src)}, want: ofSource},
		"an empty entry":        {filter: attributes(map[string]string{"type": typ}), filters: filters{{}}, want: everything},
		"list":                  {filters: filters{exact("source", src), exact("type", typ)}, want: ofBoth},
		"nested":                {filters: filters{{All: filters{exact("source", src), {All: filters{exact("type", typ)}}}}}, want: ofBoth},
		"beside a prefix":       {filters: filters{{Prefix: map[string]string{"type": "order"}}, exact("source", src)}, want: ofSource},
		"beside a CESQL":        {filters: filters{{CESQL: "type = 'order.created'"}, exact("source", src)}, want: ofSource},
		"prefix before all":     {filters: filters{{Prefix: map[string]string{"id": "1"}, All: filters{exact("type", typ)}}}, want: everything},
		"exact before all":      {filters: filters{{Exact: map[string]string{"id": "1"}, All: filters{exact("type", typ)}}}, want: everything},
		"not":                   {filters: filters{{Not: &filters{exact("type", typ)}[0]}}, want: everything},
		"any":                   {filters: filters{{Any: filters{exact("type", typ), exact("type", "b")}}}, want: everything},
		"all before any":        {filters: filters{{All: filters{exact("type", typ)}, Any: filters{exact("type", "b")}}}, want: ofType},
		"an invalid one counts": {filters: filters{exact("type", typ, "source", "")}, want: everything},
		"contradiction":         {filters: filters{exact("type", typ), exact("type", "b")}, want: ofType},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trigger := &eventingv1.Trigger{Spec: eventingv1.TriggerSpec{Filter: tc.filter, Filters: tc.filters}}
			if got := Binding(broker, trigger); got != tc.want {
				t.Errorf("Binding() = %s, want %s of %s", got, tc.want, keys)
			}
			if got, want := selective(trigger), tc.want != everything; got != want {
				t.Errorf("selective() = %t, want %t", got, want)
			}
		})
	}
}

func TestQueue(t *testing.T) {
	t.Parallel()
	const uid = "0f0f9b0c-94f4-4b2b-8ad6-5a3d1f1f7a10"
	for name, tc := range map[string]struct{ namespace, name, uid, want string }{
		"short":     {"team", "orders", uid, "lambda.t.team.orders." + uid},
		"long":      {"team", strings.Repeat("n", 253), uid, "lambda.t.team." + strings.Repeat("n", 100) + "." + uid},
		"ends in .": {"team", strings.Repeat("n", 99) + ".xyz", uid, "lambda.t.team." + strings.Repeat("n", 99) + "." + uid},
		"UTF-8":     {"team", strings.Repeat("n", 99) + "é", uid, "lambda.t.team." + strings.Repeat("n", 99) + "." + uid},
		"longest":   {strings.Repeat("s", 63), strings.Repeat("n", 253), uid, "lambda.t." + strings.Repeat("s", 63) + "." + strings.Repeat("n", 100) + "." + uid},
		"invalid":   {strings.Repeat("s", 63), "n", strings.Repeat("u", 300), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Queue(&eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: tc.namespace, Name: tc.name, UID: types.UID(tc.uid)}})
			if tc.want != "" && got != tc.want {
				t.Errorf("Queue() = %s, want %s", got, tc.want)
			}
			if len(got) > 255 || !utf8.ValidString(got) || !strings.HasPrefix(got, "lambda.t.") {
				t.Errorf("Queue() = %q of %d bytes", got, len(got))
			}
		})
	}
}

// selective says whether the Trigger's filter asks for an exact type or source.
func selective(t *eventingv1.Trigger) bool { return requirementOf(&t.Spec) != requirement{} }
