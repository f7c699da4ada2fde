package source

import (
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func hostKey(t *testing.T) (key ssh.PublicKey, line string) {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if key, err = ssh.NewPublicKey(public); err != nil {
		t.Fatal(err)
	}
	return key, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func TestKnownHosts(t *testing.T) {
	key, line := hostKey(t)
	other, otherLine := hostKey(t)
	const address = "git.example:22"
	for name, tt := range map[string]struct {
		address, text string
		reason        string
	}{
		"by name":           {address, "git.example " + line, ""},
		"one of several":    {address, "# all\n\nother.example,git.example " + line + "\nthird.example " + otherLine, ""},
		"hashed":            {address, knownhosts.HashHostname("git.example") + " " + line, ""},
		"by port":           {"git.example:2222", "[git.example]:2222 " + line, ""},
		"hashed by port":    {"git.example:2222", knownhosts.HashHostname("[git.example]:2222") + " " + line, ""},
		"by pattern":        {address, "*.example " + line, ""},
		"pattern and port":  {"git.example:2222", "[*.example]:2222 " + line, ""},
		"with another too":  {address, "git.example " + otherLine + "\ngit.example " + line, ""},
		"of another":        {address, "other.example " + line, ReasonHostKeyUnknown},
		"of another port":   {"git.example:2222", "git.example " + line, ReasonHostKeyUnknown},
		"excepted":          {address, "*.example,!git.example " + line, ReasonHostKeyUnknown},
		"hashed of another": {address, knownhosts.HashHostname("other.example") + " " + line, ReasonHostKeyUnknown},
		"an authority's":    {address, "@cert-authority git.example " + line, ReasonHostKeyUnknown},
		"revoked":           {address, "git.example " + line + "\n@revoked git.example " + line, ReasonHostKeyUnknown},
		"another key":       {address, "git.example " + otherLine, ReasonHostKeyUnknown},
		"empty":             {address, "", ReasonHostKeyUnknown},
		"broken":            {address, "git.example not-a-key", ReasonSecretInvalid},
	} {
		known, err := parseKnownHosts(tt.address, []byte(tt.text))
		if err == nil {
			err = known.check("", nil, key)
		}
		if got, _ := Reason(err); err == nil && tt.reason != "" || err != nil && got != tt.reason {
			t.Errorf("%s: %v, want %q", name, err, tt.reason)
		}
	}
	known, err := parseKnownHosts(address, []byte("git.example "+line))
	if err != nil {
		t.Fatal(err)
	}
	if got := known.algorithms(); len(got) != 1 || got[0] != ssh.KeyAlgoED25519 {
		t.Errorf("algorithms() = %v, want that of the key", got)
	}
	if known.check("", nil, other) == nil {
		t.Error("a key of another is taken")
	}
}

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{"/a.git": "'/a.git'", "/a'; rm -rf /; '": `'/a'\''; rm -rf /; '\'''`, "/a!b": `'/a'\!'b'`} {
		if got := quote(text); got != want {
			t.Errorf("quote(%s) = %s, want %s", text, got, want)
		}
	}
}
