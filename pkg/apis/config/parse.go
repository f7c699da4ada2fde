package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/apimachinery/pkg/util/validation"
	"knative.dev/pkg/configmap"
	"sigs.k8s.io/yaml"
)

// parser reads the keys of a ConfigMap and collects what is wrong with them:
// every error names its key, and a key that nothing reads is one.
type parser struct {
	name   string
	data   map[string]string
	known  []string
	errors []error
}

// UnknownKeysError names keys that nothing reads. What was parsed beside them is
// whole.
type UnknownKeysError struct{ error }

func newParser(name string, data map[string]string) *parser {
	return &parser{name: name, data: data, known: []string{configmap.ExampleKey}}
}

// value returns the key's value and whether it is set to anything.
func (p *parser) value(key string) (string, bool) {
	p.known = append(p.known, key)
	v := strings.TrimSpace(p.data[key])
	return v, v != ""
}

func (p *parser) fail(key string, err error) {
	if err != nil {
		p.errors = append(p.errors, fmt.Errorf("%s: %s: %w", p.name, key, err))
	}
}

func (p *parser) text(key string, to *string, check func(string) error) {
	v, ok := p.value(key)
	if !ok {
		return
	}
	if check != nil {
		p.fail(key, check(v))
	}
	*to = v
}

func (p *parser) boolean(key string, to *bool) {
	v, ok := p.value(key)
	if !ok {
		return
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		p.fail(key, fmt.Errorf("expected true or false, got %q", v))
		return
	}
	*to = b
}

func (p *parser) integer(key string, to *int, least, most int) {
	v, ok := p.value(key)
	if !ok {
		return
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		p.fail(key, fmt.Errorf("expected a whole number from %d to %d, got %q", least, most, v))
		return
	}
	*to = n
}

func (p *parser) duration(key string, to *time.Duration, least, most time.Duration) {
	v, ok := p.value(key)
	if !ok {
		return
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < least || d > most {
		p.fail(key, fmt.Errorf("expected a duration from %v to %v such as 90s or 5m, got %q", least, most, v))
		return
	}
	*to = d
}

// orNone reads a duration that may be 0.
func (p *parser) orNone(key string, to *time.Duration, least, most time.Duration) {
	if d, err := time.ParseDuration(strings.TrimSpace(p.data[key])); err == nil && d == 0 {
		least = 0
	}
	p.duration(key, to, least, most)
}

// seconds reads a duration of whole seconds that may be 0.
func (p *parser) seconds(key string, to *time.Duration, least, most time.Duration) {
	p.orNone(key, to, least, most)
	if *to%time.Second != 0 {
		p.fail(key, fmt.Errorf("expected whole seconds, got %v", *to))
	}
}

// list reads items separated by commas or white space.
func (p *parser) list(key string, to *[]string, check func(string) error) {
	v, ok := p.value(key)
	if !ok {
		return
	}
	items := strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
	for _, item := range items {
		p.fail(key, check(item))
	}
	*to = items
}

// networks reads a list of networks in CIDR form.
func (p *parser) networks(key string, to *[]netip.Prefix) {
	var texts []string
	p.list(key, &texts, func(text string) error {
		network, err := parseNetwork(text)
		*to = append(*to, network)
		return err
	})
}

// yaml reads the value strictly into a struct.
func (p *parser) yaml(key string, to any) {
	if v, ok := p.value(key); ok {
		if err := yaml.UnmarshalStrict([]byte(v), to); err != nil {
			p.fail(key, fmt.Errorf("expected YAML of the form in _example: %w", err))
		}
	}
}

func (p *parser) required(key, value string) {
	if value == "" {
		p.fail(key, errors.New("missing"))
	}
}

// done returns everything that is wrong, sorted, unknown keys included: as an
// UnknownKeysError where there is nothing else.
func (p *parser) done() error {
	wrong := len(p.errors) > 0
	known := make(map[string]bool, len(p.known))
	for _, k := range p.known {
		known[k] = true
	}
	for key := range p.data {
		if !known[key] {
			names := append([]string(nil), p.known[1:]...)
			sort.Strings(names)
			p.fail(key, fmt.Errorf("unknown key; known are %s", strings.Join(names, ", ")))
		}
	}
	sort.Slice(p.errors, func(i, j int) bool { return p.errors[i].Error() < p.errors[j].Error() })
	all := errors.Join(p.errors...)
	if all != nil && !wrong {
		return UnknownKeysError{all}
	}
	return all
}

var repositoryPattern = regexp.MustCompile(`^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$`)

// repositoryPath is a check that text can be a repository inside a registry.
func repositoryPath(text string) error {
	if !repositoryPattern.MatchString(text) || len(text) > 255 {
		return fmt.Errorf("expected a repository path of lower-case letters, digits, '.', '_', '-' and '/', got %q", text)
	}
	return nil
}

func registryHost(text string) error {
	if _, err := name.NewRegistry(text); err != nil || strings.Contains(text, "/") {
		return fmt.Errorf("expected a registry as host or host:port, got %q", text)
	}
	return nil
}

// imageReference also takes the ko:// references of manifests that ko has not
// resolved yet.
func imageReference(text string) error {
	if strings.HasPrefix(text, "ko://") {
		return nil
	}
	if _, err := name.ParseReference(text); err != nil {
		return fmt.Errorf("expected an image reference, got %q: %w", text, err)
	}
	return nil
}

func queueName(text string) error {
	if errs := validation.IsDNS1123Label(text); len(errs) > 0 {
		return fmt.Errorf("expected the name of a LocalQueue, got %q: %s", text, errs[0])
	}
	return nil
}

func secretName(text string) error {
	if errs := validation.IsDNS1123Subdomain(text); len(errs) > 0 {
		return fmt.Errorf("expected the name of a Secret, got %q: %s", text, errs[0])
	}
	return nil
}

func objectName(text string) error {
	if errs := validation.IsDNS1123Label(text); len(errs) > 0 {
		return fmt.Errorf("expected the name of an object, got %q: %s", text, errs[0])
	}
	return nil
}

var keyPrefixPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*/?[A-Za-z0-9._-]*$`)

// keyPrefix is the beginning of the key of a label or an annotation.
func keyPrefix(text string) error {
	if !keyPrefixPattern.MatchString(text) {
		return fmt.Errorf("expected the beginning of a key such as example.com/, got %q", text)
	}
	return nil
}

func oneOf(words ...string) func(string) error {
	return func(text string) error {
		if !slices.Contains(words, text) {
			return fmt.Errorf("expected %s, got %q", strings.Join(words, " or "), text)
		}
		return nil
	}
}

func httpURL(text string) error {
	if err := CheckURL(text, "http", "https"); err != nil {
		return fmt.Errorf("%w, got %q", err, WithoutUserInfo(text))
	}
	return nil
}

// CheckURL returns an error unless text is an absolute URL of one of the schemes, with a
// host and without user info, query and fragment: credentials belong in Secrets, and
// query and fragment would hide what is appended to the path. The error says what is
// expected and does not repeat text.
func CheckURL(text string, schemes ...string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || !slices.Contains(schemes, u.Scheme):
		return fmt.Errorf("expected a URL that begins with %s://", strings.Join(schemes, ":// or "))
	case u.User != nil:
		return ErrUserInfo
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return errors.New("expected a URL without query and fragment")
	}
	return nil
}

// ErrUserInfo reports a URL with user info, which may be credentials.
var ErrUserInfo = errors.New("expected a URL without user info: put credentials into a Secret")

// WithoutUserInfo keeps a password out of a message.
func WithoutUserInfo(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		scheme, rest = "", text
	}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		rest = rest[at+1:]
	}
	if ok {
		return scheme + "://" + rest
	}
	return rest
}

// OnlyAzureVersion reports whether the URL's query is nothing but the version of Azure's
// API, which endpoints of provider azure-openai may choose.
func OnlyAzureVersion(u *url.URL, provider string) bool {
	query, err := url.ParseQuery(u.RawQuery)
	return provider == "azure-openai" && err == nil && len(query) == 1 && len(query["api-version"]) == 1 && query.Get("api-version") != ""
}

// CheckEndpoint tells why text cannot be the endpoint of an object store.
func CheckEndpoint(text string) error {
	host := text
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		if scheme != "http" && scheme != "https" {
			return fmt.Errorf("expected http://, https:// or host:port, got %q", text)
		}
		host = strings.TrimSuffix(rest, "/")
	}
	if !hostPattern.MatchString(host) {
		return fmt.Errorf("expected a URL or host:port without a path, got %q", text)
	}
	if _, err := url.Parse("http://" + host); err != nil { // such as what is no IPv6 address in brackets
		return fmt.Errorf("expected a host name or an IP address, got %q", text)
	}
	return nil
}

var hostPattern = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

func parseNetwork(text string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(text)
	if err != nil || network != network.Masked() {
		return network, fmt.Errorf("expected networks such as 10.0.0.0/8 or fd00::/8, got %q", text)
	}
	return network, nil
}
