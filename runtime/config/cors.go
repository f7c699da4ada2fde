package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// CORS says which web pages of other origins may call a function.
type CORS struct {
	// AllowOrigins are origins such as https://app.example.com, "*" for all, or
	// subdomains: "*.example.com", or "https://*.example.com" for one scheme.
	AllowOrigins []string `json:"allowOrigins"`
	// AllowMethods of requests, or "*". Empty: DefaultMethods.
	AllowMethods []string `json:"allowMethods,omitempty"`
	// AllowHeaders of requests, or "*". Empty: Content-Type.
	AllowHeaders []string `json:"allowHeaders,omitempty"`
	// ExposeHeaders of replies to the page, or "*".
	ExposeHeaders []string `json:"exposeHeaders,omitempty"`
	// AllowCredentials lets pages send cookies and client certificates.
	AllowCredentials bool `json:"allowCredentials,omitempty"`
	// MaxAge is how long a browser may keep the answer to a preflight, in seconds. 0
	// leaves it to the browser.
	MaxAge int32 `json:"maxAge,omitempty"`
}

const (
	// maxEntries of each list of a CORS.
	maxEntries = 100
	// MaxAgeLimit of a CORS, in seconds: no browser keeps an answer for longer.
	MaxAgeLimit = 86400
	all         = "*"
)

// DefaultMethods of a CORS.
func DefaultMethods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
}

// ParseCORS reads the value of EnvCORS. It is nil for an empty text.
func ParseCORS(text string) (*CORS, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // there is no CORS, which is no error
	}
	c := &CORS{}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(c); err != nil {
		return nil, fmt.Errorf("expected a JSON object such as {\"allowOrigins\":[\"https://app.example.com\"]}: %w", err)
	}
	var errs []error
	for _, e := range c.Validate() {
		errs = append(errs, e)
	}
	return c, errors.Join(errs...)
}

// Validate returns what is wrong, by field.
func (c *CORS) Validate() []*FieldError {
	var errs []*FieldError
	if len(c.AllowOrigins) == 0 {
		errs = append(errs, &FieldError{"allowOrigins", "", `at least one origin such as https://app.example.com, or "*"`})
	}
	errs = append(errs, entries("allowOrigins", c.AllowOrigins, originProblem)...)
	errs = append(errs, entries("allowMethods", c.AllowMethods, methodProblem)...)
	errs = append(errs, entries("allowHeaders", c.AllowHeaders, headerProblem)...)
	errs = append(errs, entries("exposeHeaders", c.ExposeHeaders, headerProblem)...)
	if c.AllowCredentials && slices.Contains(c.AllowOrigins, all) {
		errs = append(errs, &FieldError{"allowCredentials", true, `false with the origin "*", or the origins that may send credentials`})
	}
	if c.AllowCredentials && slices.Contains(c.ExposeHeaders, all) {
		errs = append(errs, &FieldError{"exposeHeaders", all, "the names of headers: with allowCredentials browsers take * for a name"})
	}
	if c.MaxAge < 0 || c.MaxAge > MaxAgeLimit {
		errs = append(errs, &FieldError{"maxAge", c.MaxAge, fmt.Sprintf("0 to %d seconds", MaxAgeLimit)})
	}
	return errs
}

func entries(field string, values []string, problem func(string) string) (errs []*FieldError) {
	if len(values) > maxEntries {
		errs = append(errs, &FieldError{field, len(values), fmt.Sprintf("at most %d entries", maxEntries)})
	}
	for i, v := range values {
		if expected := problem(v); expected != "" {
			errs = append(errs, &FieldError{fmt.Sprintf("%s[%d]", field, i), v, expected})
		}
	}
	return errs
}

// originProblem says what is expected instead of the origin; it is empty for a good one.
func originProblem(text string) string {
	if text == all {
		return ""
	}
	const expected = `an origin such as https://app.example.com or http://localhost:3000, "*.example.com" or "*"`
	scheme, host, found := strings.Cut(text, "://")
	if !found {
		scheme, host = "", text
	}
	subdomains := strings.HasPrefix(host, "*.")
	if scheme == "" && !subdomains {
		return expected
	}
	parsed, err := url.Parse("https://" + strings.TrimPrefix(host, "*."))
	switch {
	case err != nil || parsed.Host == "" || parsed.Host != strings.TrimPrefix(host, "*."), strings.Contains(parsed.Host, "*"),
		strings.HasPrefix(parsed.Host, "."), found && !IsToken(scheme):
		return expected
	case text != strings.ToLower(text):
		return "an origin in lower case, as browsers send it"
	case scheme == "https" && parsed.Port() == "443", scheme == "http" && parsed.Port() == "80":
		return "an origin without its default port, as browsers send it"
	}
	return ""
}

func methodProblem(text string) string {
	switch {
	case text == all:
		return ""
	case !IsToken(text) || text != strings.ToUpper(text):
		return `a method such as PATCH, in upper case, or "*"`
	case text == "CONNECT" || text == "TRACE":
		return "a method that browsers let pages send"
	}
	return ""
}

func headerProblem(text string) string {
	if text != all && !IsToken(text) {
		return `the name of a header such as Content-Type, or "*"`
	}
	return ""
}

// AllowsOrigin reports whether pages of the origin may call the function.
func (c *CORS) AllowsOrigin(origin string) bool {
	return slices.ContainsFunc(c.AllowOrigins, func(pattern string) bool {
		scheme, suffix, found := strings.Cut(pattern, "*.")
		if pattern == all || !found {
			return pattern == all || pattern == origin
		}
		host, matches := strings.CutPrefix(origin, scheme)
		if scheme == "" { // of any scheme
			_, host, matches = strings.Cut(origin, "://")
		}
		subdomain, below := strings.CutSuffix(host, "."+suffix)
		return matches && below && subdomain != "" && !strings.ContainsAny(subdomain, "/:@?#")
	})
}

// AllowsMethod reports whether requests may have the method.
func (c *CORS) AllowsMethod(method string) bool {
	return slices.ContainsFunc(c.Methods(), func(m string) bool { return m == all || m == method })
}

// Methods that requests may have.
func (c *CORS) Methods() []string {
	if len(c.AllowMethods) == 0 {
		return DefaultMethods()
	}
	return c.AllowMethods
}

// Headers that requests may have.
func (c *CORS) Headers() []string {
	if len(c.AllowHeaders) == 0 {
		return []string{"Content-Type"}
	}
	return c.AllowHeaders
}
