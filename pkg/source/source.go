// Package source finds out what a function's source is by now, and brings its
// files to where they are built. Nothing here starts a program or a shell, and
// nothing is dialled that is not public or allowed by configuration.
package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// How long a source may take.
const (
	// ResolveTimeout bounds one Resolve.
	ResolveTimeout = 20 * time.Second
	// FetchTimeout bounds one Fetch.
	FetchTimeout = 5 * time.Minute
	// dialTimeout bounds one attempt to connect.
	dialTimeout = 10 * time.Second
)

// Request names a source that may change: exactly one of Object and Git.
type Request struct {
	Object *Object `json:"object,omitempty"`
	Git    *Git    `json:"git,omitempty"`
	// AllowedNetworks may be dialled though they are not public.
	AllowedNetworks []netip.Prefix `json:"allowedNetworks,omitempty"`
	// DeniedNetworks must not be dialled although they are public or allowed.
	DeniedNetworks []netip.Prefix `json:"deniedNetworks,omitempty"`
}

// Object is an object of an object store that speaks the S3 protocol.
type Object struct {
	// Endpoint is http://host[:port] or https://host[:port].
	Endpoint string `json:"endpoint"`
	// Region of the bucket; empty where the store tells it.
	Region string `json:"region,omitempty"`
	Bucket string `json:"bucket"`
	// Key of an archive or of a single file; a prefix where it ends in "/".
	Key string `json:"key"`
	// VersionID pins a version; empty is the newest.
	VersionID string `json:"versionId,omitempty"`
}

// Git is a commit of a git repository.
type Git struct {
	// URL is https://…, ssh://… or user@host:path.
	URL string `json:"url"`
	// Ref is a branch, a tag, a full name (refs/…) or a commit; empty is the
	// remote's HEAD.
	Ref string `json:"ref,omitempty"`
	// Path of the function in the repository; empty is all of it.
	Path string `json:"path,omitempty"`
}

// Pinned tells whether the request names one version, which cannot change.
func (r *Request) Pinned() bool {
	return r.Object != nil && r.Object.VersionID != "" || r.Git != nil && commitPattern.MatchString(r.Git.Ref)
}

// Host of the server that the request is sent to, in lower case and without its port;
// empty where the request is invalid.
func (r *Request) Host() string {
	text := ""
	switch {
	case r.Object != nil:
		text = r.Object.Endpoint
	case r.Git != nil:
		text = r.Git.URL
	}
	if _, rest, scp := strings.Cut(text, "@"); scp && !strings.Contains(text, "://") {
		host, _, _ := strings.Cut(rest, ":")
		return strings.ToLower(host)
	}
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// Resolved is what a Request has resolved to: the same Resolved is always the
// same files.
type Resolved struct {
	Request `json:",inline"`
	// Digest names the content: sha256:<hexadecimal>.
	Digest string `json:"digest"`
	// VersionID and ETag of an object; the ETag of a prefix is a digest of what
	// is below it.
	VersionID string `json:"resolvedVersionId,omitempty"`
	ETag      string `json:"etag,omitempty"`
	// Size of an object, or of all below a prefix, in bytes.
	Size int64 `json:"size,omitempty"`
	// Commit of a git source: 40 hexadecimal digits.
	Commit string `json:"commit,omitempty"`
}

// Credentials are the data of a Secret. For objects: accessKey and secretKey, or
// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, with AWS_SESSION_TOKEN where there
// is one. For git over https: username and password; over ssh: ssh-privatekey
// and known_hosts. For all over https: ca.crt. Nil is anonymous.
type Credentials map[string][]byte

// ReadCredentials reads a mounted Secret: a file for each of its keys. A folder
// that is not there is nil.
func ReadCredentials(dir string) (Credentials, error) {
	var c Credentials
	for _, key := range []string{keyAccess, keySecret, awsAccess, awsSecret, awsToken, keyUsername, keyPassword, keyPrivate, keyKnownHosts, keyCA} {
		text, err := os.ReadFile(filepath.Join(dir, key))
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		case c == nil:
			c = Credentials{}
		}
		c[key] = text
	}
	return c, nil
}

// Resolve asks the source what the request is by now. The error is an
// *InvalidError where only the user or an administrator can help; every other
// may pass by itself. Neither it nor its message holds a credential.
func Resolve(ctx context.Context, request Request, credentials Credentials) (*Resolved, error) {
	ctx, cancel := context.WithTimeout(ctx, ResolveTimeout)
	defer cancel()
	network := newNetwork(&request, maxListing)
	defer network.close()
	switch {
	case request.Object != nil:
		return resolveObject(ctx, network, request, credentials)
	case request.Git != nil:
		return resolveGit(ctx, network, request, credentials)
	}
	return nil, errors.New("a request for neither an object nor a git repository")
}

// Fetch brings the files of a resolved source into dir, which must exist and be
// empty. It writes nowhere else, and at most limit bytes, which is MaxBytes or less, to
// the files and as many while it downloads: what a store says of a size is no bound.
// Errors are as of Resolve, and OverLimit; a source that has changed since it was
// resolved is one that may pass.
func Fetch(ctx context.Context, resolved *Resolved, credentials Credentials, dir string, limit int64) error {
	ctx, cancel := context.WithTimeout(ctx, FetchTimeout)
	defer cancel()
	scratch, err := os.MkdirTemp(dir, ".fetch-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	files, err := newTree(ctx, dir, limit)
	if err != nil {
		return err
	}
	defer files.close()
	network := newNetwork(&resolved.Request, downloaded*limit)
	defer network.close()
	switch {
	case resolved.Object != nil:
		err = fetchObject(ctx, network, resolved, credentials, scratch, files)
	case resolved.Git != nil:
		err = fetchGit(ctx, network, resolved, credentials, scratch, files)
	default:
		err = errors.New("a source that is neither an object nor a git repository")
	}
	if err != nil {
		return err
	}
	return files.notEmpty()
}

// digestOf parts, none of which can be taken for another.
func digestOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
