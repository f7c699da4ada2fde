package v1alpha1

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/robfig/cron/v3"
	"knative.dev/pkg/apis"
)

var (
	cronPattern      = regexp.MustCompile(`^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[0-9A-Za-z*/,?-]+( +[0-9A-Za-z*/,?-]+){4,5})$`)
	timeZonePattern  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+/-]*$`)
	mediaTypePattern = regexp.MustCompile(`^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+( *; *[A-Za-z0-9_.-]+=[A-Za-z0-9_.-]+)*$`)

	// cronParser is that of PingSources.
	cronParser = cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
)

const expectedCron = "expected five fields such as 0 8 * * MON-FRI (minute, hour, day of the month, month, day of the week), six with seconds in front, or a macro such as @hourly"

// validateSchedules of a spec whose eventing is on, or not.
func validateSchedules(all []Schedule, eventing bool) (errs *apis.FieldError) {
	if len(all) == 0 {
		return nil
	}
	if !eventing {
		errs = errs.Also(&apis.FieldError{Message: "expected eventing.enabled to be true", Paths: []string{"schedules"}, Details: "the events of schedules come through a Broker"})
	}
	if n := len(all); n > MaxSchedules {
		return errs.Also(apis.ErrGeneric(fmt.Sprintf("expected at most %d schedules, got %d", MaxSchedules, n), "schedules"))
	}
	seen := map[string]int{}
	for i := range all {
		errs = errs.Also(all[i].validate().ViaFieldIndex("schedules", i))
		if first, ok := seen[all[i].Name]; ok {
			errs = errs.Also(apis.ErrGeneric(fmt.Sprintf("%q is the name of schedules[%d] already", all[i].Name, first), "name").ViaFieldIndex("schedules", i))
			continue
		}
		seen[all[i].Name] = i
	}
	return errs
}

func (s *Schedule) validate() (errs *apis.FieldError) {
	if s.Name == "" {
		errs = errs.Also(apis.ErrMissingField("name"))
	} else {
		errs = errs.Also(checkLabel(s.Name, "name"))
	}
	errs = errs.Also(s.validateCron()).Also(s.validateTimeZone())
	if s.Type != "" && (len(s.Type) > 256 || !eventTypePattern.MatchString(s.Type)) {
		errs = errs.Also(apis.ErrInvalidValue(shortened(s.Type), "type", expectedEventType+", of at most 256 characters"))
	}
	return errs.Also(s.validateData())
}

func (s *Schedule) validateCron() *apis.FieldError {
	switch {
	case s.Cron == "":
		return apis.ErrMissingField("cron")
	case strings.Contains(s.Cron, "TZ="):
		return apis.ErrInvalidValue(shortened(s.Cron), "cron", "expected no time zone: set timeZone")
	case strings.HasPrefix(s.Cron, "@every"):
		return apis.ErrInvalidValue(shortened(s.Cron), "cron", "@every is not supported: expected fields such as */5 * * * *")
	case len(s.Cron) > 256 || !cronPattern.MatchString(s.Cron):
		return apis.ErrInvalidValue(shortened(s.Cron), "cron", expectedCron)
	}
	schedule, err := cronParser.Parse(s.Cron)
	if err != nil {
		return apis.ErrInvalidValue(shortened(s.Cron), "cron", err.Error()+": "+expectedCron)
	}
	if schedule.Next(leapYear).IsZero() {
		return apis.ErrInvalidValue(shortened(s.Cron), "cron", "expected a date that exists: no month has this day")
	}
	return nil
}

// leapYear is before all days of the calendar.
var leapYear = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

func (s *Schedule) validateTimeZone() *apis.FieldError {
	if s.TimeZone == "" {
		return nil
	}
	if len(s.TimeZone) <= 64 && s.TimeZone != "Local" && timeZonePattern.MatchString(s.TimeZone) {
		if _, err := time.LoadLocation(s.TimeZone); err == nil {
			return nil
		}
	}
	return apis.ErrInvalidValue(shortened(s.TimeZone), "timeZone", "expected the name of a zone in the IANA database, such as Europe/Berlin or UTC")
}

func (s *Schedule) validateData() (errs *apis.FieldError) {
	if n := utf8.RuneCountInString(s.Data); n > MaxScheduleData {
		errs = errs.Also(apis.ErrGeneric(fmt.Sprintf("expected at most %d characters, got %d", MaxScheduleData, n), "data"))
	}
	switch {
	case s.ContentType == "":
	case s.Data == "":
		errs = errs.Also(apis.ErrGeneric("goes with data, which is missing", "contentType"))
	case len(s.ContentType) > 128 || !mediaTypePattern.MatchString(s.ContentType):
		errs = errs.Also(apis.ErrInvalidValue(shortened(s.ContentType), "contentType", "expected a media type such as application/json"))
	case s.ContentType == contentTypeJSON && !isJSONObject(s.Data): // PingSources take no other JSON
		errs = errs.Also(apis.ErrInvalidValue(shortened(s.Data), "data", "expected a JSON object, as contentType is application/json"))
	}
	return errs
}
