package v1alpha1

import (
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"knative.dev/pkg/apis"
	"sigs.k8s.io/yaml"
)

// invalidSchedules are of a spec whose eventing is on, each with all that is said about it.
var invalidSchedules = []struct{ name, schedules, want string }{
	{"no name", "{cron: '@daily'}", "missing field(s): spec.schedules[0].name"},
	{"a name that is no label", "{name: a.b, cron: '@daily'}", "invalid value: a.b: spec.schedules[0].name\n" + notADNSLabel},
	{"a name twice", "{name: a, cron: '@daily'}, {name: b, cron: '@daily'}, {name: a, cron: '@daily'}", `"a" is the name of schedules[0] already: spec.schedules[2].name`},
	{"no cron", "{name: a}", "missing field(s): spec.schedules[0].cron"},
	{"four fields", "{name: a, cron: '* * * *'}", "invalid value: * * * *: spec.schedules[0].cron\n" + expectedCron},
	{"seven fields", "{name: a, cron: '* * * * * * *'}", "invalid value: * * * * * * *: spec.schedules[0].cron\n" + expectedCron},
	{"a minute that there is not", "{name: a, cron: '60 * * * *'}", "invalid value: 60 * * * *: spec.schedules[0].cron\nend of range (60) above maximum (59): 60: " + expectedCron},
	{"a day that there is not", "{name: a, cron: '* * * * XYZ'}", "invalid value: * * * * XYZ: spec.schedules[0].cron\nfailed to parse int from XYZ: strconv.Atoi: parsing \"XYZ\": invalid syntax: " + expectedCron},
	{"a date that there is not", "{name: a, cron: '0 0 30 2 *'}", "invalid value: 0 0 30 2 *: spec.schedules[0].cron\nexpected a date that exists: no month has this day"},
	{"an interval", "{name: a, cron: '@every 5m'}", "invalid value: @every 5m: spec.schedules[0].cron\n@every is not supported: expected fields such as */5 * * * *"},
	{"a macro that there is not", "{name: a, cron: '@reboot'}", "invalid value: @reboot: spec.schedules[0].cron\n" + expectedCron},
	{"a time zone in cron", "{name: a, cron: 'CRON_TZ=UTC 0 8 * * *'}", "invalid value: CRON_TZ=UTC 0 8 * * *: spec.schedules[0].cron\nexpected no time zone: set timeZone"},
	{"nothing but a time zone in cron", "{name: a, cron: 'TZ=0'}", "invalid value: TZ=0: spec.schedules[0].cron\nexpected no time zone: set timeZone"},
	{"cron too long", "{name: a, cron: '" + strings.Repeat("0,", 128) + "0 * * * *'}", "invalid value: " + strings.Repeat("0,", 32) + "…: spec.schedules[0].cron\n" + expectedCron},
	{"a time zone that there is not", "{name: a, cron: '@daily', timeZone: Europe/Atlantis}", "invalid value: Europe/Atlantis: spec.schedules[0].timeZone\nexpected the name of a zone in the IANA database, such as Europe/Berlin or UTC"},
	{"the time zone of a node", "{name: a, cron: '@daily', timeZone: Local}", "invalid value: Local: spec.schedules[0].timeZone\nexpected the name of a zone in the IANA database, such as Europe/Berlin or UTC"},
	{"a time zone that is a path", "{name: a, cron: '@daily', timeZone: ../UTC}", "invalid value: ../UTC: spec.schedules[0].timeZone\nexpected the name of a zone in the IANA database, such as Europe/Berlin or UTC"},
	{"a type that is none", "{name: a, cron: '@daily', type: a b}", "invalid value: a b: spec.schedules[0].type\n" + expectedEventType + ", of at most 256 characters"},
	{"too much data", "{name: a, cron: '@daily', data: '" + strings.Repeat("ä", MaxScheduleData+1) + "'}", "expected at most 16384 characters, got 16385: spec.schedules[0].data"},
	{"a content type without data", "{name: a, cron: '@daily', contentType: text/plain}", "goes with data, which is missing: spec.schedules[0].contentType"},
	{"a content type that is none", "{name: a, cron: '@daily', data: x, contentType: json}", "invalid value: json: spec.schedules[0].contentType\nexpected a media type such as application/json"},
	{"JSON that is none", "{name: a, cron: '@daily', data: 'x', contentType: application/json}", "invalid value: x: spec.schedules[0].data\nexpected a JSON object, as contentType is application/json"},
	{"JSON that is no object", "{name: a, cron: '@daily', data: '[1]', contentType: application/json}", "invalid value: [1]: spec.schedules[0].data\nexpected a JSON object, as contentType is application/json"},
	{"too many", manySchedules(MaxSchedules + 1), "expected at most 16 schedules, got 17: spec.schedules"},
}

func manySchedules(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("{name: s%d, cron: '@daily'}", i)
	}
	return strings.Join(all, ", ")
}

// scheduled is YAML of both kinds' specs.
func scheduled(schedules string) string {
	return "eventing: {enabled: true}\nschedules: [" + schedules + "]"
}

// validSchedules are at the edges of what is right.
var validSchedules = []string{
	"{name: a, cron: '* * * * *'}, {name: b, cron: '@hourly', suspend: true}",
	"{name: '" + strings.Repeat("1", 63) + "', cron: '*/10 * * * * *', timeZone: America/Argentina/Buenos_Aires, type: a}",
	"{name: a, cron: '0  8 * * MON-FRI', timeZone: Etc/GMT+5, data: '{}', contentType: application/json}",
	"{name: a, cron: '0 0 29 2 ?', timeZone: '', data: '[1]'}",
	"{name: a, cron: '0 0 1,15 jan-mar/2 *', data: '" + strings.Repeat("ä", MaxScheduleData) + "', contentType: 'text/plain; charset=utf-8'}",
	manySchedules(MaxSchedules),
}

func TestInvalidSchedules(t *testing.T) {
	for _, tt := range invalidSchedules {
		t.Run(tt.name, func(t *testing.T) {
			f, a := functionOf(t, python+scheduled(tt.schedules)), agentOf(t, anImage+scheduled(tt.schedules))
			refused(t, f, f.Validate(configured()), tt.want)
			refused(t, a, a.Validate(configured()), tt.want)
		})
	}
}

func TestValidSchedules(t *testing.T) {
	for _, schedules := range append(validSchedules, "") {
		for kind, errs := range map[string]*apis.FieldError{
			"function": functionOf(t, python+scheduled(schedules)).Validate(configured()),
			"agent":    agentOf(t, anImage+scheduled(schedules)).Validate(configured()),
		} {
			if errs != nil {
				t.Errorf("%s with schedules [%.200s] is refused: %v", kind, schedules, errs)
			}
		}
	}
}

// TestSchedulesNeedEventing: without a Broker nothing would carry their events.
func TestSchedulesNeedEventing(t *testing.T) {
	const want = "expected eventing.enabled to be true: spec.schedules\nthe events of schedules come through a Broker"
	for _, eventing := range []string{"", "eventing: {enabled: false}\n"} {
		f, a := functionOf(t, python+eventing+"schedules: [{name: a, cron: '@daily'}]"), agentOf(t, anImage+eventing+"schedules: [{name: a, cron: '@daily'}]")
		refused(t, f, f.Validate(configured()), want)
		refused(t, a, a.Validate(configured()), want)
	}
}

func TestSchedule_EffectiveContentType(t *testing.T) {
	for text, want := range map[string]string{
		"{}": "", "{contentType: a/b}": "a/b", "{data: x}": "text/plain", "{data: '{\"a\": 1}'}": "application/json",
		"{data: '[1]'}": "text/plain", "{data: 'null'}": "text/plain", "{data: '{}', contentType: text/x}": "text/x",
	} {
		var s Schedule
		if err := yaml.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		if got := s.EffectiveContentType(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// FuzzCron: whatever is written, admission answers, and what it takes has a next time.
func FuzzCron(f *testing.F) {
	for _, cron := range []string{"* * * * *", "TZ=0", "CRON_TZ=", "@every 1s", "0 0 30 2 *", "*/0 * * * *", "1-2-3 * * * *", "a/b/c ? ? ? ?", "@daily"} {
		f.Add(cron)
	}
	f.Fuzz(func(t *testing.T, cron string) {
		s := Schedule{Name: "a", Cron: cron}
		if err := s.validateCron(); err != nil {
			if len(err.Paths) != 1 || err.Paths[0] != "cron" || len(err.Error()) > 1000 {
				t.Errorf("%q: %v", cron, err)
			}
			return
		}
		schedule, err := cronParser.Parse(cron)
		if err != nil || schedule.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
			t.Errorf("%q is admitted and never comes: %v", cron, err)
		}
	})
}

// TestSubscribedSchedules: an event is delivered once.
func TestSubscribedSchedules(t *testing.T) {
	f := functionOf(t, python+"triggers: [{broker: b, filter: {attributes: {source: "+ScheduleSource("function", "team", "own")+"}}}]")
	f.Namespace, f.Name = "team", "own"
	refused(t, f, f.Validate(configured()), "the source io.knative.lambda/function/team/own/schedules is that of this function's schedules, whose events it gets without a trigger: remove the trigger: spec.triggers[0]")
	a := agentOf(t, anImage+"eventing: {enabled: true, subscriptions: [{eventType: a.b, source: "+ScheduleSource("agent", "team", "own")+"}]}")
	a.Namespace, a.Name = "team", "own"
	refused(t, a, a.Validate(configured()), "the source io.knative.lambda/agent/team/own/schedules is that of this agent's schedules, whose events it gets without a subscription: remove the subscription: spec.eventing.subscriptions[0].source")
}
