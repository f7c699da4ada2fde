package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseCORS(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		errs       []string
	}{
		{"one origin", `{"allowOrigins":["https://app.example.com"]}`, nil},
		{"all fields", `{"allowOrigins":["http://localhost:3000","*.example.com","https://*.example.org:8443","app://native"],"allowMethods":["GET","*"],
			"allowHeaders":["X-A","*"],"exposeHeaders":["X-B"],"allowCredentials":true,"maxAge":600}`, nil},
		{"every origin", `{"allowOrigins":["*"],"exposeHeaders":["*"]}`, nil},
		{"no JSON", `*`, []string{"expected a JSON object"}},
		{"unknown field", `{"allowOrigin":["*"]}`, []string{"allowOrigin"}},
		{"no origin", `{}`, []string{"allowOrigins: expected at least one origin"}},
		{"host", `{"allowOrigins":["app.example.com"]}`, []string{`allowOrigins[0]: expected an origin such as https://app.example.com`, `"app.example.com"`}},
		{"path", `{"allowOrigins":["*","https://app.example.com/"]}`, []string{"allowOrigins[1]: expected an origin"}},
		{"star within", `{"allowOrigins":["https://app.*.com","*example.com","*.","https://*"]}`,
			[]string{"allowOrigins[0]", "allowOrigins[1]", "allowOrigins[2]", "allowOrigins[3]"}},
		{"null", `{"allowOrigins":["null"]}`, []string{"allowOrigins[0]"}},
		{"user", `{"allowOrigins":["https://u@example.com"]}`, []string{"allowOrigins[0]"}},
		{"upper case", `{"allowOrigins":["https://App.example.com"]}`, []string{"lower case"}},
		{"default port", `{"allowOrigins":["https://app.example.com:443"]}`, []string{"without its default port"}},
		{"methods", `{"allowOrigins":["*"],"allowMethods":["patch","A B","TRACE"]}`, []string{"allowMethods[0]", "allowMethods[1]", "allowMethods[2]"}},
		{"headers", `{"allowOrigins":["*"],"allowHeaders":["X:"],"exposeHeaders":[""]}`, []string{"allowHeaders[0]", "exposeHeaders[0]"}},
		{"credentials", `{"allowOrigins":["*"],"allowCredentials":true,"exposeHeaders":["*"]}`, []string{"allowCredentials: expected false", "exposeHeaders: expected the names"}},
		{"age", `{"allowOrigins":["*"],"maxAge":86401}`, []string{"maxAge: expected 0 to 86400 seconds"}},
		{"many", `{"allowOrigins":["*"` + strings.Repeat(`,"*"`, 100) + `]}`, []string{"allowOrigins: expected at most 100 entries"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseCORS(tt.text)
			if (err != nil) != (len(tt.errs) > 0) {
				t.Fatalf("got the error %v, expected %q", err, tt.errs)
			}
			for _, want := range tt.errs {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error is %q, expected %q in it", err, want)
				}
			}
		})
	}
}

func TestParseCORSWithoutText(t *testing.T) {
	if c, err := ParseCORS(""); c != nil || err != nil {
		t.Errorf("got %v, %v, expected neither", c, err)
	}
}

func TestAllowsOrigin(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		yes, no []string
	}{
		{"*", []string{"https://a.example", "null"}, nil},
		{"https://a.example", []string{"https://a.example"}, []string{"http://a.example", "https://a.example:8443", "https://b.a.example", "https://a.example.evil", "null", ""}},
		{"*.a.example", []string{"https://b.a.example", "http://c.b.a.example"},
			[]string{"https://a.example", "https://xa.example", "https://.a.example", "https://b.a.example.evil", "https://b.a.example:8443", "https://evil/.a.example", "b.a.example"}},
		{"https://*.a.example:8443", []string{"https://b.a.example:8443"}, []string{"http://b.a.example:8443", "https://b.a.example", "https://evil:1.a.example:8443"}},
	} {
		c := CORS{AllowOrigins: []string{tt.pattern}}
		for _, origin := range tt.yes {
			if !c.AllowsOrigin(origin) {
				t.Errorf("%s does not allow %s", tt.pattern, origin)
			}
		}
		for _, origin := range tt.no {
			if c.AllowsOrigin(origin) {
				t.Errorf("%s allows %s", tt.pattern, origin)
			}
		}
	}
}

func TestDefaults(t *testing.T) {
	c := CORS{AllowOrigins: []string{"*"}}
	if diff := cmp.Diff([]string{"Content-Type"}, c.Headers()); diff != "" {
		t.Error(diff)
	}
	if !c.AllowsMethod("DELETE") || c.AllowsMethod("OPTIONS") {
		t.Errorf("the methods are %v", c.Methods())
	}
	c = CORS{AllowMethods: []string{"*"}, AllowHeaders: []string{"X-A"}}
	if diff := cmp.Diff([]string{"X-A"}, c.Headers()); diff != "" || !c.AllowsMethod("PURGE") {
		t.Error(diff, c.Methods())
	}
}
