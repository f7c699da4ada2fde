package source

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// store is a client of one bucket.
type store struct {
	*minio.Client
	*Object
	network *network
	host    string
}

func newStore(n *network, o *Object, secret Credentials) (*store, error) {
	endpoint, err := url.Parse(o.Endpoint)
	if err != nil || endpoint.Host == "" {
		return nil, invalid("endpoint %q: expected http://host[:port] or https://host[:port]", o.Endpoint)
	}
	access, key := secret.first(keyAccess, awsAccess), secret.first(keySecret, awsSecret)
	signer := credentials.SignatureV4
	switch {
	case access == "" && key == "" && len(secret) > 0 && secret[keyCA] == nil:
		return nil, because(ReasonSecretInvalid, "the Secret has neither %s and %s nor %s and %s", keyAccess, keySecret, awsAccess, awsSecret)
	case (access == "") != (key == ""):
		return nil, because(ReasonSecretInvalid, "the Secret has only one of %s and %s", keyAccess, keySecret)
	case access == "":
		signer = credentials.SignatureAnonymous
	}
	transport, err := n.transport(secret)
	if err != nil {
		return nil, err
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds:      credentials.NewStatic(access, key, secret.first(awsToken), signer),
		Secure:     endpoint.Scheme == "https",
		Region:     o.Region,
		Transport:  transport,
		MaxRetries: 1, // whoever asks tries again
	})
	if err != nil {
		return nil, invalid("endpoint %q: %v", o.Endpoint, err)
	}
	return &store{Client: client, Object: o, network: n, host: endpoint.Host}, nil
}

func resolveObject(ctx context.Context, n *network, request Request, secret Credentials) (*Resolved, error) {
	s, err := newStore(n, request.Object, secret)
	if err != nil {
		return nil, err
	}
	resolved := &Resolved{Request: request}
	if s.isPrefix() {
		objects, err := s.list(ctx)
		if err != nil {
			return nil, err
		}
		resolved.ETag = digestOfObjects(objects)
		for _, o := range objects {
			resolved.Size += o.Size
		}
	} else {
		info, err := s.StatObject(ctx, s.Bucket, s.Key, minio.StatObjectOptions{VersionID: s.VersionID})
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		resolved.ETag, resolved.VersionID, resolved.Size = info.ETag, info.VersionID, info.Size
	}
	if resolved.Size > MaxBytes {
		return nil, because(ReasonTooLarge, "%s is too large: %d bytes; at most %s are fetched", s.name(), resolved.Size, mebibytes(MaxBytes))
	}
	// An ETag is what the store says that it is: it counts only together with the
	// store's name, so that no other store can pass its objects off as these.
	resolved.Digest = digestOf("object", s.Endpoint, s.Bucket, s.Key, resolved.ETag, strconv.FormatInt(resolved.Size, 10))
	return resolved, nil
}

func (o *Object) isPrefix() bool { return strings.HasSuffix(o.Key, "/") }

func (o *Object) name() string { return fmt.Sprintf("object %q of bucket %q", o.Key, o.Bucket) }

// list what is below the prefix, in the order of keys.
func (s *store) list(ctx context.Context) (objects []minio.ObjectInfo, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the listing where it is left early
	for o := range s.ListObjects(ctx, s.Bucket, minio.ListObjectsOptions{Prefix: s.Key, Recursive: true}) {
		switch {
		case o.Err != nil:
			return nil, s.problem(ctx, o.Err)
		case strings.HasSuffix(o.Key, "/"): // stands for a folder
			continue
		case len(objects) == MaxFiles:
			return nil, because(ReasonTooLarge, "bucket %q has more than %d objects below %q", s.Bucket, MaxFiles, s.Key)
		}
		objects = append(objects, o)
	}
	if len(objects) == 0 && ctx.Err() == nil {
		return nil, because(ReasonEmpty, "bucket %q has no object below %q", s.Bucket, s.Key)
	}
	return objects, ctx.Err()
}

func digestOfObjects(objects []minio.ObjectInfo) string {
	parts := make([]string, 0, 3*len(objects))
	for _, o := range objects {
		parts = append(parts, o.Key, o.ETag, strconv.FormatInt(o.Size, 10))
	}
	return digestOf(parts...)
}

// errChanged is of a source that is no longer what it was resolved to.
var errChanged = errors.New("the source has changed since it was resolved")

func fetchObject(ctx context.Context, n *network, resolved *Resolved, secret Credentials, scratch string, files *tree) error {
	s, err := newStore(n, resolved.Object, secret)
	if err != nil {
		return err
	}
	if s.isPrefix() {
		return s.fetchPrefix(ctx, resolved, scratch, files)
	}
	size := resolved.Size
	if size < 0 { // the store says nothing
		size = files.limit
	}
	name, err := s.download(ctx, s.Key, resolved.VersionID, resolved.ETag, scratch, files.limit, size)
	if err != nil {
		return err
	}
	if ending := archiveEnding(s.Key); ending != "" {
		return files.unpackFile(name, ending)
	}
	return files.addFrom(name, path.Base(s.Key))
}

func (s *store) fetchPrefix(ctx context.Context, resolved *Resolved, scratch string, files *tree) error {
	objects, err := s.list(ctx)
	if err != nil {
		return err
	}
	if digestOfObjects(objects) != resolved.ETag {
		return errChanged
	}
	for _, o := range objects {
		name, err := s.download(ctx, o.Key, "", o.ETag, scratch, files.limit-files.bytes, o.Size)
		if err != nil {
			return err
		}
		if err := files.addFrom(name, strings.TrimPrefix(o.Key, s.Key)); err != nil {
			return err
		}
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// addFrom adds a file on disk.
func (t *tree) addFrom(from, name string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return t.add(name, 0, info.Size(), bufio.NewReader(f))
}

// download the object of just this ETag into scratch. It has as many bytes as the store
// has said, and no more than the limit.
func (s *store) download(ctx context.Context, key, version, etag, scratch string, limit, size int64) (string, error) {
	if size > limit {
		return "", overLimit(limit)
	}
	options := minio.GetObjectOptions{VersionID: version}
	if err := options.SetMatchETag(etag); err != nil {
		return "", err
	}
	// Core answers with the body as it comes; the client's own GetObject asks
	// again in between.
	body, _, _, err := (&minio.Core{Client: s.Client}).GetObject(ctx, s.Bucket, key, options)
	if err != nil {
		return "", s.problem(ctx, err)
	}
	defer body.Close()
	name := filepath.Join(scratch, "object")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, &claimed{Reader: body, key: key, size: size, left: size})
	var disk *os.PathError
	switch closed := f.Close(); {
	case errors.As(err, &disk):
		return "", err
	case err != nil:
		return "", s.problem(ctx, err)
	default:
		return name, closed
	}
}

// claimed is a reader of an object that ends with an *InvalidError where there is more
// than the store has said.
type claimed struct {
	io.Reader
	key        string
	size, left int64
}

func (c *claimed) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, because(ReasonTooLarge, "the store sends more of object %s than the %d bytes that it says it has", quoted(c.key), c.size)
	}
	return n, err
}

// problem says what an error of the store means.
func (s *store) problem(ctx context.Context, err error) error {
	answer := minio.ToErrorResponse(err)
	switch answer.Code {
	case "NoSuchBucket":
		return because(ReasonBucketNotFound, "%s has no bucket %q", s.host, s.Bucket)
	case "InvalidBucketName":
		return because(ReasonBucketNotFound, "%q cannot be the name of a bucket: %s", s.Bucket, answer.Message)
	case "NoSuchKey", "NoSuchVersion", "MethodNotAllowed": // the last is of a version that marks a deletion
		if exists, err := s.BucketExists(ctx, s.Bucket); err == nil && !exists {
			return because(ReasonBucketNotFound, "%s has no bucket %q", s.host, s.Bucket)
		}
		if s.VersionID != "" {
			return because(ReasonObjectNotFound, "%s has no %s in version %q", s.host, s.name(), s.VersionID)
		}
		return because(ReasonObjectNotFound, "%s has no %s", s.host, s.name())
	case "PreconditionFailed":
		return errChanged
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return because(ReasonAccessDenied, "%s refuses access to %s (%s): check the Secret and what its user may read", s.host, s.name(), answer.Code)
	case http.StatusPreconditionFailed:
		return errChanged
	case http.StatusBadRequest:
		return invalid("%s refuses the request for %s (%s): %s", s.host, s.name(), answer.Code, answer.Message)
	}
	return s.network.unreachable(ctx, s.host, err)
}
