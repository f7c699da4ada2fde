package fair

import (
	"fmt"
	"slices"
	"testing"
	"testing/quick"

	"github.com/google/go-cmp/cmp"
)

// lineOf keys such as a1, whose letter is the namespace.
func lineOf(keys ...string) *Line[string] {
	l := &Line[string]{}
	for _, k := range keys {
		l.Join(k, k[:1])
	}
	return l
}

// drain takes turns until nobody may, each of which starts to run.
func drain(l *Line[string], running map[string]int, most int) (order []string) {
	for {
		k, ok := l.Next(running, most)
		if !ok {
			return order
		}
		running[k[:1]]++
		order = append(order, k)
	}
}

func TestOrder(t *testing.T) {
	for name, tt := range map[string]struct {
		line    []string
		running map[string]int
		want    []string
	}{
		"first come first within a namespace":            {[]string{"a1", "a2", "a3"}, nil, []string{"a1", "a2", "a3"}},
		"in turns between namespaces":                    {[]string{"a1", "a2", "a3", "b1", "b2", "c1"}, nil, []string{"a1", "b1", "c1", "a2", "b2", "a3"}},
		"who has least comes first":                      {[]string{"a1", "a2", "b1"}, map[string]int{"a": 1}, []string{"b1", "a1", "a2"}},
		"until the others have as much":                  {[]string{"a1", "b1", "b2", "b3"}, map[string]int{"a": 2}, []string{"b1", "b2", "a1", "b3"}},
		"a latecomer does not wait for a crowd":          {[]string{"a1", "a2", "a3", "a4", "a5", "b1"}, map[string]int{"a": 4}, []string{"b1", "a1", "a2", "a3", "a4", "a5"}},
		"what runs of others who wait not, is no matter": {[]string{"a1"}, map[string]int{"z": 9}, []string{"a1"}},
	} {
		t.Run(name, func(t *testing.T) {
			l, running := lineOf(tt.line...), map[string]int{}
			for n, count := range tt.running {
				running[n] = count
			}
			if diff := cmp.Diff(tt.want, l.Order(running)); diff != "" {
				t.Error("Order() (-want, +got):", diff)
			}
			if diff := cmp.Diff(tt.want, drain(l, running, 100)); diff != "" {
				t.Error("the turns (-want, +got):", diff)
			}
		})
	}
}

func TestTurnsGoRound(t *testing.T) {
	l, running := lineOf("a1", "a2", "a3", "b1", "b2", "c1"), map[string]int{}
	var order []string
	for { // one slot, which is free again each time
		k, ok := l.Next(running, 1)
		if !ok {
			break
		}
		order = append(order, k)
	}
	if diff := cmp.Diff([]string{"a1", "b1", "c1", "a2", "b2", "a3"}, order); diff != "" {
		t.Error("(-want, +got):", diff)
	}
}

func TestMost(t *testing.T) {
	l, running := lineOf("a1", "a2", "a3", "b1"), map[string]int{"a": 1}
	if diff := cmp.Diff([]string{"b1", "a1"}, drain(l, running, 2)); diff != "" {
		t.Error("the turns (-want, +got):", diff)
	}
	running["a"]--
	if k, ok := l.Next(running, 2); !ok || k != "a2" {
		t.Errorf("Next() = %q, %t, want a2", k, ok)
	}
}

func TestJoinAndLeave(t *testing.T) {
	l := lineOf("a1", "a2", "a1")
	if l.Len() != 2 || !l.Leave("a1") || l.Leave("a1") || l.Len() != 1 {
		t.Errorf("%d wait, want a2 alone", l.Len())
	}
	l.Join("a1", "a")
	if diff := cmp.Diff([]string{"a2", "a1"}, l.Order(nil)); diff != "" {
		t.Error("(-want, +got):", diff)
	}
}

// TestEveryoneGetsATurn: whatever the line, Order has each key once, and Next
// gives the turns in that order.
func TestEveryoneGetsATurn(t *testing.T) {
	property := func(namespaces []uint8, has [4]uint8) bool {
		running := map[string]int{}
		for i, n := range has {
			running[string(rune('a'+i))] = int(n % 8)
		}
		var keys []string
		for i, n := range namespaces {
			keys = append(keys, fmt.Sprintf("%c%d", 'a'+n%4, i))
		}
		l := lineOf(keys...)
		order := l.Order(running)
		sorted, want := slices.Sorted(slices.Values(order)), slices.Sorted(slices.Values(keys))
		return slices.Equal(sorted, want) && slices.Equal(order, drain(l, running, 1<<20))
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}
