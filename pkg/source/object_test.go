package source

import (
	"archive/zip"
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// store of objects that speaks as much of the S3 protocol as is used here.
type objectStore struct {
	*httptest.Server
	mu      sync.Mutex
	objects map[string]string // key of bucket "code" → content
	size    map[string]string // what the store says that it is, where it lies
	fail    int               // status of every answer, where it is not 0
}

const storeUser = "reader"

func newObjectStore(t *testing.T, objects map[string]string) *objectStore {
	t.Helper()
	s := &objectStore{objects: objects, size: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func etagOf(content string) string {
	sum := md5.Sum([]byte(content))
	return hex.EncodeToString(sum[:])
}

func (s *objectStore) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	authorization := r.Header.Get("Authorization")
	query := r.URL.Query()
	switch {
	case s.fail != 0:
		w.WriteHeader(s.fail)
	case authorization != "" && !strings.Contains(authorization, "Credential="+storeUser+"/"):
		answer(w, http.StatusForbidden, "InvalidAccessKeyId")
	case bucket == "secret" && authorization == "":
		answer(w, http.StatusForbidden, "AccessDenied")
	case bucket != "code" && bucket != "secret":
		answer(w, http.StatusNotFound, "NoSuchBucket")
	case query.Has("location"):
		_, _ = w.Write([]byte(`<LocationConstraint></LocationConstraint>`))
	case query.Get("list-type") == "2":
		s.list(w, query.Get("prefix"))
	case key == "":
		w.WriteHeader(http.StatusOK)
	default:
		s.get(w, r, key)
	}
}

func answer(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = w.Write([]byte("<Error><Code>" + code + "</Code><Message>" + code + "</Message></Error>"))
}

func (s *objectStore) list(w http.ResponseWriter, prefix string) {
	type content struct{ Key, ETag, Size string }
	var result struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Contents []content
	}
	for key, text := range s.objects {
		if strings.HasPrefix(key, prefix) {
			result.Contents = append(result.Contents, content{key, `"` + etagOf(text) + `"`, strconv.Itoa(len(text))})
		}
	}
	sort.Slice(result.Contents, func(i, j int) bool { return result.Contents[i].Key < result.Contents[j].Key })
	_ = xml.NewEncoder(w).Encode(result)
}

func (s *objectStore) get(w http.ResponseWriter, r *http.Request, key string) {
	text, ok := s.objects[key]
	version := r.URL.Query().Get("versionId")
	switch match := strings.Trim(r.Header.Get("If-Match"), `"`); {
	case !ok && version != "":
		answer(w, http.StatusNotFound, "NoSuchVersion")
	case !ok:
		answer(w, http.StatusNotFound, "NoSuchKey")
	case match != "" && match != etagOf(text):
		answer(w, http.StatusPreconditionFailed, "PreconditionFailed")
	default:
		size := s.size[key]
		if size == "" {
			size = strconv.Itoa(len(text))
		}
		w.Header().Set("ETag", `"`+etagOf(text)+`"`)
		w.Header().Set("Content-Length", size)
		w.Header().Set("Last-Modified", "Fri, 02 Jan 2026 03:04:05 GMT")
		if r.Method != http.MethodHead {
			_, _ = w.Write([]byte(text))
		}
	}
}

func (s *objectStore) request(bucket, key string) Request {
	return Request{Object: &Object{Endpoint: s.URL, Bucket: bucket, Key: key}, AllowedNetworks: loopback}
}

var reader = Credentials{keyAccess: []byte(storeUser), keySecret: []byte("secret")}

func zipped(t *testing.T, files map[string]string) string {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range names(files) {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func packed(t *testing.T, files map[string]string) string {
	t.Helper()
	archive, err := Pack(files)
	if err != nil {
		t.Fatal(err)
	}
	return string(archive)
}

// TestObjects resolves and fetches every form that an object may have.
func TestObjects(t *testing.T) {
	s := newObjectStore(t, map[string]string{
		"f.zip": zipped(t, code), "f.TGZ": packed(t, code), "f.tar.gz": packed(t, code), "f.tar": string(plainTar(t, code)),
		"one/main.py": code["main.py"], "run": "#!/bin/sh\n",
		"tree/main.py": code["main.py"], "tree/lib/util.py": code["lib/util.py"], "tree/lib/": "", "treehouse.py": "not below it",
	})
	for _, secret := range []Credentials{nil, reader, {awsAccess: []byte(storeUser), awsSecret: []byte("s"), awsToken: []byte("t")}} {
		for key, want := range map[string]map[string]string{
			"f.zip": code, "f.TGZ": code, "f.tar.gz": code, "f.tar": code, "tree/": code,
			"one/main.py": {"main.py": code["main.py"]}, "run": {"run": "#!/bin/sh\n"},
		} {
			resolved, err := Resolve(t.Context(), s.request("code", key), secret)
			if err != nil {
				t.Errorf("Resolve(%s) = %v", key, err)
				continue
			}
			if resolved.ETag == "" || resolved.Size == 0 || !strings.HasPrefix(resolved.Digest, "sha256:") {
				t.Errorf("Resolve(%s) = %+v", key, resolved)
			}
			dir := t.TempDir()
			if err := Fetch(t.Context(), resolved, secret, dir, MaxBytes); err != nil {
				t.Errorf("Fetch(%s) = %v", key, err)
				continue
			}
			if diff := cmp.Diff(want, read(t, dir)); diff != "" {
				t.Errorf("%s (-stored, +fetched): %s", key, diff)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".fetch-*")); len(left) > 0 {
				t.Errorf("%s: left behind: %v", key, left)
			}
		}
	}
	info, err := os.Stat(filepath.Join(fetched(t, s.request("code", "run")), "run"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode of a program = %v (%v), want that it can be executed", info.Mode(), err)
	}
}

func fetched(t *testing.T, request Request) string {
	t.Helper()
	resolved, err := Resolve(t.Context(), request, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := Fetch(t.Context(), resolved, nil, dir, MaxBytes); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestObjectDigest: it changes with the content and with the store, which alone
// says what an ETag is.
func TestObjectDigest(t *testing.T) {
	s := newObjectStore(t, map[string]string{"f.py": "one", "tree/a": "a", "tree/b": "b"})
	other := newObjectStore(t, map[string]string{"f.py": "one", "tree/a": "a", "tree/b": "b"})
	for key, change := range map[string]func(){
		"f.py":  func() { s.objects["f.py"] = "two" },
		"tree/": func() { s.objects["tree/c"] = "" },
	} {
		digest := func(s *objectStore) string {
			r, err := Resolve(t.Context(), s.request("code", key), nil)
			if err != nil {
				t.Fatal(err)
			}
			return r.Digest
		}
		before := digest(s)
		if digest(s) != before {
			t.Errorf("%s: two digests of one content", key)
		}
		if digest(other) == before {
			t.Errorf("%s: another store's object has the same digest", key)
		}
		resolved, _ := Resolve(t.Context(), s.request("code", key), nil)
		change()
		if digest(s) == before {
			t.Errorf("%s: the digest is as before the change", key)
		}
		err := Fetch(t.Context(), resolved, nil, t.TempDir(), MaxBytes)
		if _, users := Reason(err); err == nil || users {
			t.Errorf("Fetch(%s) = %v of what has changed since, want an error that may pass", key, err)
		}
	}
}

func TestObjectsRefused(t *testing.T) {
	s := newObjectStore(t, map[string]string{"f.py": "x", "huge.zip": "x", "folders/": "", "wide/a": "x"})
	s.size["huge.zip"] = "2147483648"
	version := s.request("code", "nope.py")
	version.Object.VersionID = "abc"
	private := s.request("code", "f.py")
	private.AllowedNetworks = nil
	for name, tt := range map[string]struct {
		request Request
		secret  Credentials
		reason  string
		want    string
	}{
		"no such bucket":             {s.request("nope", "f.py"), reader, ReasonBucketNotFound, `no bucket "nope"`},
		"no such bucket, anonymous":  {s.request("nope", "f.py"), nil, ReasonBucketNotFound, `no bucket "nope"`},
		"no such object":             {s.request("code", "nope.py"), reader, ReasonObjectNotFound, `object "nope.py" of bucket "code"`},
		"no such version":            {version, reader, ReasonObjectNotFound, `in version "abc"`},
		"empty prefix":               {s.request("code", "nope/"), reader, ReasonEmpty, `no object below "nope/"`},
		"prefix of folders":          {s.request("code", "folders/"), reader, ReasonEmpty, `no object below`},
		"prefix in no bucket":        {s.request("nope", "f/"), nil, ReasonBucketNotFound, `no bucket "nope"`},
		"unknown user":               {s.request("code", "f.py"), Credentials{keyAccess: []byte("x"), keySecret: []byte("y")}, ReasonAccessDenied, "check the Secret"},
		"not public":                 {s.request("secret", "f.py"), nil, ReasonAccessDenied, "refuses access"},
		"half a secret":              {s.request("code", "f.py"), Credentials{keyAccess: []byte("x")}, ReasonSecretInvalid, "only one of accessKey and secretKey"},
		"a secret of something else": {s.request("code", "f.py"), Credentials{"password": []byte("x")}, ReasonSecretInvalid, "neither accessKey and secretKey"},
		"two gibibytes":              {s.request("code", "huge.zip"), reader, ReasonTooLarge, "2147483648 bytes; at most 256 MiB"},
		"not allowed":                {private, reader, ReasonAddressForbidden, "127.0.0.1"},
		"no endpoint":                {Request{Object: &Object{Endpoint: "x", Bucket: "b", Key: "k"}}, nil, ReasonInvalid, "expected http://"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Resolve(t.Context(), tt.request, tt.secret)
			refused(t, err, tt.reason, tt.want)
		})
	}
}

// TestStoreAway: what may pass by itself is not told as the user's.
func TestStoreAway(t *testing.T) {
	s := newObjectStore(t, nil)
	gone := s.request("code", "f.py")
	s.fail = http.StatusServiceUnavailable
	if _, err := Resolve(t.Context(), gone, nil); err == nil {
		t.Error("resolved at a store that is away")
	} else if reason, users := Reason(err); users || reason != ReasonUnreachable {
		t.Errorf("%s %v, want %s, which may pass", reason, err, ReasonUnreachable)
	}
	s.Close()
	if _, err := Resolve(t.Context(), gone, nil); err == nil {
		t.Error("resolved at a store that is gone")
	} else if reason, users := Reason(err); users || reason != ReasonUnreachable {
		t.Errorf("%s %v, want %s, which may pass", reason, err, ReasonUnreachable)
	}
}

// TestUnwantedContent: an object that cannot be a function's.
func TestUnwantedContent(t *testing.T) {
	bomb := strings.Repeat("0", freeBytes+1)
	s := newObjectStore(t, map[string]string{
		"broken.zip": "no zip", "broken.tar.gz": "no tar", "broken.tar": "no tar at all", "empty.zip": zipped(t, nil),
		"folders.zip": zipped(t, map[string]string{"a/": ""}), "bomb.zip": zipped(t, map[string]string{"bomb": bomb}),
		"bomb.tgz": packed(t, map[string]string{"bomb": bomb}), "evil.zip": zipped(t, map[string]string{"../evil": "x"}),
		"windows.zip": zipped(t, map[string]string{`..\evil`: "x"}), "tree/../evil": "x",
	})
	for key, want := range map[string]struct{ reason, message string }{
		"broken.zip": {ReasonInvalid, "no zip archive"}, "broken.tar.gz": {ReasonInvalid, "no gzipped tar archive"},
		"broken.tar": {ReasonInvalid, "broken archive"}, "empty.zip": {ReasonEmpty, "no file"}, "folders.zip": {ReasonEmpty, "no file"},
		"bomb.zip": {ReasonTooLarge, "100 times its size"}, "bomb.tgz": {ReasonTooLarge, "100 times its size"},
		"evil.zip": {ReasonInvalid, "leaves it"}, "windows.zip": {ReasonInvalid, "leaves it"}, "tree/": {ReasonInvalid, "leaves it"},
	} {
		t.Run(key, func(t *testing.T) {
			resolved, err := Resolve(t.Context(), s.request("code", key), nil)
			if err != nil {
				t.Fatal(err)
			}
			refused(t, Fetch(t.Context(), resolved, nil, t.TempDir(), MaxBytes), want.reason, want.message)
		})
	}
}
