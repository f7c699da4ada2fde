package source

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brunovlucena/knative-lambda-operator/test/gitserver"
)

// loopback is where the servers of these tests are.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// code is what the function's folder holds.
var code = map[string]string{"main.py": "def handler(event, context):\n    return 1\n", "lib/util.py": "x = 1\n"}

func below(dir string, files map[string]string) map[string]string {
	moved := map[string]string{"README": "of all\n"}
	for name, text := range files {
		mode, file, ok := strings.Cut(name, ":")
		if !ok {
			moved[dir+"/"+name] = text
			continue
		}
		moved[mode+":"+dir+"/"+file] = text
	}
	return moved
}

func gitRequest(url, ref, path string) Request {
	return Request{Git: &Git{URL: url, Ref: ref, Path: path}, AllowedNetworks: loopback}
}

// secrets of the server's two protocols.
func secrets(s *gitserver.Server) (https, ssh Credentials) {
	return Credentials{keyUsername: []byte(gitserver.User), keyPassword: []byte(gitserver.Password), keyCA: s.CA},
		Credentials{keyPrivate: s.PrivateKey, keyKnownHosts: s.KnownHosts}
}

// TestGit resolves and fetches over both protocols, from servers that give a
// commit alone and from those that do not.
func TestGit(t *testing.T) {
	s := gitserver.Start(t, "127.0.0.1")
	s.Create("private/strict.git")
	s.Create("private/liberal.git", "uploadpack.allowReachableSHA1InWant=true")
	https, ssh := secrets(s)
	for _, repository := range []string{"/private/strict.git", "/private/liberal.git"} {
		name := repository[1:]
		old := s.Commit(name, "main", map[string]string{"main.py": "old"})
		s.Tag(name, "v1", old)
		s.Commit(name, "main", below("functions/hello", code))
		tip := s.Commit(name, "main", below("functions/hello", code))
		feature := s.Commit(name, "feature/x", map[string]string{"100755:bootstrap": "#!/bin/sh\n", "data": "x"})
		for _, tt := range []struct {
			ref, path, commit string
			files             map[string]string
		}{
			{"", "functions/hello", tip, code},
			{"HEAD", "functions/hello/", tip, code},
			{"main", "functions/hello", tip, code},
			{"refs/heads/main", "./functions/hello", tip, code},
			{"v1", "", old, map[string]string{"main.py": "old"}},
			{old, "", old, map[string]string{"main.py": "old"}},
			{"feature/x", ".", feature, map[string]string{"bootstrap": "#!/bin/sh\n", "data": "x"}},
		} {
			for protocol, from := range map[string]struct {
				url    string
				secret Credentials
			}{"https": {s.HTTPS, https}, "ssh": {s.SSH, ssh}} {
				t.Run(protocol+repository+" "+tt.ref, func(t *testing.T) {
					resolved, err := Resolve(t.Context(), gitRequest(from.url+repository, tt.ref, tt.path), from.secret)
					if err != nil {
						t.Fatal(err)
					}
					if resolved.Commit != tt.commit || !strings.HasPrefix(resolved.Digest, "sha256:") {
						t.Errorf("Resolve() = %+v, want commit %s", resolved, tt.commit)
					}
					dir := t.TempDir()
					if err := Fetch(t.Context(), resolved, from.secret, dir, MaxBytes); err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(tt.files, read(t, dir)); diff != "" {
						t.Error("(-committed, +fetched):", diff)
					}
				})
			}
		}
	}
}

func TestGitDigest(t *testing.T) {
	s := gitserver.Start(t, "127.0.0.1")
	s.Create("a.git")
	s.Commit("a.git", "main", below("f", code))
	https, ssh := secrets(s)
	digest := func(url, path string, secret Credentials) string {
		r, err := Resolve(t.Context(), gitRequest(url+"/a.git", "main", path), secret)
		if err != nil {
			t.Fatal(err)
		}
		return r.Digest
	}
	one := digest(s.HTTPS, "f", https)
	if digest(s.SSH, "./f/", ssh) != one {
		t.Error("the same folder of the same commit has two digests")
	}
	if digest(s.HTTPS, "", https) == one {
		t.Error("two folders of a commit have one digest")
	}
	s.Commit("a.git", "main", below("f", code))
	if digest(s.HTTPS, "f", https) == one {
		t.Error("two commits have one digest")
	}
}

func TestGitRefused(t *testing.T) {
	s := gitserver.Start(t, "127.0.0.1")
	s.Create("private/a.git")
	s.Create("private/empty.git")
	s.Commit("private/a.git", "main", below("f", code))
	https, ssh := secrets(s)
	without := func(from Credentials, key string) Credentials {
		c := maps.Clone(from)
		delete(c, key)
		return c
	}
	with := func(from Credentials, key, value string) Credentials {
		c := maps.Clone(from)
		c[key] = []byte(value)
		return c
	}
	otherKey := gitserver.Start(t, "127.0.0.1")
	a, strange := "/private/a.git", "somewhere.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n"
	impostor := []byte(strings.Fields(string(s.KnownHosts))[0] + " " + strings.Join(strings.Fields(string(otherKey.KnownHosts))[1:], " ") + "\n")
	for name, tt := range map[string]struct {
		request Request
		secret  Credentials
		reason  string
		want    string
	}{
		"no such branch":           {gitRequest(s.HTTPS+a, "nope", ""), https, ReasonRefNotFound, `no branch or tag "nope"`},
		"a commit cut short":       {gitRequest(s.HTTPS+a, "0123456", ""), https, ReasonRefNotFound, "40 digits"},
		"no such repository":       {gitRequest(s.HTTPS+"/private/b.git", "", ""), https, ReasonRepositoryNotFound, "/private/b.git"},
		"ssh: no such repository":  {gitRequest(s.SSH+"/private/b.git", "", ""), ssh, ReasonRepositoryNotFound, "/private/b.git"},
		"empty repository":         {gitRequest(s.HTTPS+"/private/empty.git", "", ""), https, ReasonEmpty, "no commit"},
		"ssh: empty repository":    {gitRequest(s.SSH+"/private/empty.git", "", ""), ssh, ReasonEmpty, "no commit"},
		"wrong password":           {gitRequest(s.HTTPS+a, "", ""), with(https, keyPassword, "wrong"), ReasonAccessDenied, keyPassword},
		"no password":              {gitRequest(s.HTTPS+a, "", ""), Credentials{keyCA: s.CA}, ReasonAccessDenied, "secretRef"},
		"secret of something else": {gitRequest(s.HTTPS+a, "", ""), Credentials{"accessKey": []byte("x")}, ReasonSecretInvalid, keyPassword},
		"unknown authority":        {gitRequest(s.HTTPS+a, "", ""), without(https, keyCA), ReasonCertificateInvalid, keyCA},
		"broken authority":         {gitRequest(s.HTTPS+a, "", ""), with(https, keyCA, "x"), ReasonSecretInvalid, keyCA},
		"ssh: no known_hosts":      {gitRequest(s.SSH+a, "", ""), without(ssh, keyKnownHosts), ReasonSecretInvalid, keyKnownHosts + " is missing"},
		"ssh: no key":              {gitRequest(s.SSH+a, "", ""), without(ssh, keyPrivate), ReasonSecretInvalid, keyPrivate + " is missing"},
		"ssh: broken key":          {gitRequest(s.SSH+a, "", ""), with(ssh, keyPrivate, "hunter2"), ReasonSecretInvalid, "no private key"},
		"ssh: unknown host":        {gitRequest(s.SSH+a, "", ""), with(ssh, keyKnownHosts, strange), ReasonHostKeyUnknown, "ssh-keyscan"},
		"ssh: another host's key":  {gitRequest(s.SSH+a, "", ""), with(ssh, keyKnownHosts, string(impostor)), ReasonHostKeyUnknown, "in between"},
		"ssh: another user's key":  {gitRequest(s.SSH+a, "", ""), with(ssh, keyPrivate, string(otherKey.PrivateKey)), ReasonAccessDenied, keyPrivate},
		"not allowed":              {Request{Git: &Git{URL: s.HTTPS + a}}, https, ReasonAddressForbidden, "127.0.0.1"},
		"ssh: not allowed":         {Request{Git: &Git{URL: s.SSH + a}}, ssh, ReasonAddressForbidden, "source-allowed-networks"},
		"plain http":               {gitRequest("http://127.0.0.1/a.git", "", ""), nil, ReasonInvalid, "expected https://"},
		"a file":                   {gitRequest("/etc", "", ""), nil, ReasonInvalid, "expected https://"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Resolve(t.Context(), tt.request, tt.secret)
			refused(t, err, tt.reason, tt.want)
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("the message quotes a secret:", err)
			}
		})
	}
}

func refused(t *testing.T, err error, reason, want string) {
	t.Helper()
	if got, users := Reason(err); err == nil || !users || got != reason || !strings.Contains(err.Error(), want) {
		t.Errorf("error = %s %v, want %s and %q", got, err, reason, want)
	}
}

// TestGitContent: what a commit holds that cannot be a function's.
func TestGitContent(t *testing.T) {
	s := gitserver.Start(t, "127.0.0.1")
	s.Create("a.git")
	https, _ := secrets(s)
	for name, tt := range map[string]struct {
		path   string
		files  map[string]string
		reason string
		want   string
	}{
		"no such path":   {"nowhere", code, ReasonPathNotFound, `no folder "nowhere"`},
		"a file":         {"main.py", code, ReasonPathNotFound, `no folder "main.py"`},
		"out of it":      {"../..", code, "", ""},
		"symbolic link":  {"", map[string]string{"120000:l": "/etc/passwd"}, ReasonInvalid, `"l" is a link`},
		"submodule":      {"", map[string]string{"160000:sub": strings.Repeat("1", 40)}, ReasonInvalid, "submodules are not fetched"},
		"large object":   {"", map[string]string{"big": strings.Repeat("0", maxObject+1)}, ReasonTooLarge, "an object of 33554433 bytes"},
		"link elsewhere": {"f", map[string]string{"120000:l": "/etc/passwd", "f/main.py": ""}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			branch := strings.ReplaceAll(name, " ", "-")
			s.Commit("a.git", branch, tt.files)
			resolved, err := Resolve(t.Context(), gitRequest(s.HTTPS+"/a.git", branch, tt.path), https)
			if err != nil {
				t.Fatal(err)
			}
			err = Fetch(t.Context(), resolved, https, t.TempDir(), MaxBytes)
			if tt.reason == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			refused(t, err, tt.reason, tt.want)
		})
	}
}

// TestGitMovedOn: what was resolved is fetched though the branch has moved on, and
// not taken for another where it is gone.
func TestGitMovedOn(t *testing.T) {
	s := gitserver.Start(t, "127.0.0.1")
	s.Create("a.git")
	https, _ := secrets(s)
	s.Commit("a.git", "main", map[string]string{"f": "one"})
	s.Commit("a.git", "gone", map[string]string{"f": "gone"})
	main, err := Resolve(t.Context(), gitRequest(s.HTTPS+"/a.git", "main", ""), https)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := Resolve(t.Context(), gitRequest(s.HTTPS+"/a.git", "gone", ""), https)
	if err != nil {
		t.Fatal(err)
	}
	s.Commit("a.git", "main", map[string]string{"f": "two"})
	s.DeleteBranch("a.git", "gone")
	dir := t.TempDir()
	if err := Fetch(t.Context(), main, https, dir, MaxBytes); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir)["f"]; got != "one" {
		t.Errorf("fetched %q, want what was resolved", got)
	}
	err = Fetch(t.Context(), gone, https, t.TempDir(), MaxBytes)
	if _, users := Reason(err); err == nil || users {
		t.Errorf("Fetch() = %v of a commit that is gone, want one that may pass", err)
	}
	missing := gitRequest(s.HTTPS+"/a.git", strings.Repeat("1", 40), "")
	resolved, err := Resolve(t.Context(), missing, https)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, Fetch(t.Context(), resolved, https, t.TempDir(), MaxBytes), ReasonRefNotFound, "no commit 1111")
}

func TestExecutable(t *testing.T) {
	s := gitserver.Start(t, "127.0.0.1")
	s.Create("a.git")
	s.Commit("a.git", "main", map[string]string{"100755:run": "x", "script": "#!/bin/sh\n", "data": "x", "short": "#"})
	https, _ := secrets(s)
	resolved, err := Resolve(t.Context(), gitRequest(s.HTTPS+"/a.git", "", ""), https)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := Fetch(t.Context(), resolved, https, dir, MaxBytes); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"run": 0o755, "script": 0o755, "data": 0o644, "short": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v (%v), want %v", name, info.Mode(), err, want)
		}
	}
}
