package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
)

const (
	headRef = "HEAD"
	// largeObject is read from disk in pieces.
	largeObject = 1 << 20
	// cachedObjects are kept in memory while a pack is read.
	cachedObjects = 16 << 20
)

var commitPattern = regexp.MustCompile(`^[0-9a-f]{40}$`)

// remote is a git repository somewhere else.
type remote struct {
	*Git
	network  *network
	endpoint *transport.Endpoint
	session  transport.UploadPackSession
	refs     *packp.AdvRefs
}

// dialRemote asks the repository for its refs.
func dialRemote(ctx context.Context, n *network, g *Git, secret Credentials) (*remote, error) {
	endpoint, err := transport.NewEndpoint(g.URL)
	if err != nil || endpoint.Host == "" {
		return nil, invalid("url %q: expected https://host/path, ssh://user@host/path or user@host:path", g.URL)
	}
	r := &remote{Git: g, network: n, endpoint: endpoint}
	switch endpoint.Protocol {
	case "https":
		r.session, err = httpsSession(n, endpoint, secret)
	case "ssh":
		r.session, err = sshSession(ctx, n, endpoint, secret)
	default:
		return nil, invalid("url %q: expected https:// or ssh, not %s", g.URL, endpoint.Protocol)
	}
	if err != nil {
		return nil, r.problem(ctx, err)
	}
	if r.refs, err = r.session.AdvertisedReferencesContext(ctx); err != nil {
		release(r.session)
		return nil, r.problem(ctx, err)
	}
	return r, nil
}

// release what has said all that is wanted of it.
func release(c io.Closer) { _ = c.Close() }

func httpsSession(n *network, endpoint *transport.Endpoint, secret Credentials) (transport.UploadPackSession, error) {
	t, err := n.transport(secret)
	if err != nil {
		return nil, err
	}
	var auth transport.AuthMethod
	if password := secret.first(keyPassword); password != "" {
		user := secret.first(keyUsername)
		if user == "" {
			user = "git" // servers that take tokens do not look at it
		}
		auth = &githttp.BasicAuth{Username: user, Password: password}
	} else if len(secret) > 0 && secret[keyCA] == nil {
		return nil, because(ReasonSecretInvalid, "the Secret has no key %s, which is what git over https takes beside %s", keyPassword, keyUsername)
	}
	return githttp.NewClient(egress.Redirecting(t)).NewUploadPackSession(endpoint, auth)
}

func resolveGit(ctx context.Context, n *network, request Request, secret Credentials) (*Resolved, error) {
	r, err := dialRemote(ctx, n, request.Git, secret)
	if err != nil {
		return nil, err
	}
	defer release(r.session)
	commit, err := r.find()
	if err != nil {
		return nil, err
	}
	// A commit names its content by itself, wherever it comes from.
	return &Resolved{Request: request, Commit: commit, Digest: digestOf("git", commit, path.Clean("/"+r.Path))}, nil
}

// find the commit that the ref is. A ref that is not there is never taken for
// another.
func (r *remote) find() (string, error) {
	if r.Ref == "" || r.Ref == headRef {
		if r.refs.Head == nil {
			return "", because(ReasonRefNotFound, "%s has no HEAD: name a branch, tag or commit as ref", r.endpoint.Host)
		}
		return r.refs.Head.String(), nil
	}
	if commitPattern.MatchString(r.Ref) {
		return r.Ref, nil // whether it is there, fetching it tells
	}
	for _, name := range []string{r.Ref, "refs/heads/" + r.Ref, "refs/tags/" + r.Ref} {
		if peeled, ok := r.refs.Peeled[name]; ok {
			return peeled.String(), nil
		}
		if hash, ok := r.refs.References[name]; ok && strings.HasPrefix(name, "refs/") {
			return hash.String(), nil
		}
	}
	return "", because(ReasonRefNotFound, "%s has no branch or tag %q, and it is no commit with all of its 40 digits", r.endpoint.Host, r.Ref)
}

func fetchGit(ctx context.Context, n *network, resolved *Resolved, secret Credentials, scratch string, files *tree) error {
	r, err := dialRemote(ctx, n, resolved.Git, secret)
	if err != nil {
		return err
	}
	defer release(r.session)
	objects := filesystem.NewStorageWithOptions(osfs.New(scratch), cache.NewObjectLRU(cachedObjects), filesystem.Options{ExclusiveAccess: true, LargeObjectThreshold: largeObject})
	if err := objects.Init(); err != nil {
		return err
	}
	hash := plumbing.NewHash(resolved.Commit)
	if err := r.download(ctx, hash, scratch, objects); err != nil {
		return err
	}
	commit, err := object.GetCommit(objects, hash)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		if r.Ref == resolved.Commit {
			return because(ReasonRefNotFound, "%s has no commit %s in any branch or tag", r.endpoint.Host, resolved.Commit)
		}
		return errChanged
	} else if err != nil {
		return invalid("commit %s cannot be read: %v", resolved.Commit, err)
	}
	folder, err := r.folder(commit)
	if err != nil {
		return err
	}
	return addTree(folder, files)
}

// download the commit: alone where the server lets it be asked for, else with the
// history of every branch and tag.
func (r *remote) download(ctx context.Context, commit plumbing.Hash, scratch string, objects *filesystem.Storage) error {
	request := packp.NewUploadPackRequest()
	for _, c := range []capability.Capability{capability.Sideband64k, capability.OFSDelta, capability.NoProgress} {
		if r.refs.Capabilities.Supports(c) {
			if err := request.Capabilities.Set(c); err != nil {
				return err
			}
		}
	}
	var alone bool
	if request.Wants, alone = r.wants(commit); alone && r.refs.Capabilities.Supports(capability.Shallow) {
		request.Depth = packp.DepthCommits(1)
		if err := request.Capabilities.Set(capability.Shallow); err != nil {
			return err
		}
	}
	response, err := r.session.UploadPack(ctx, request)
	if err != nil {
		return r.problem(ctx, err)
	}
	defer release(response)
	var content io.Reader = response
	if request.Capabilities.Supports(capability.Sideband64k) {
		content = sideband.NewDemuxer(sideband.Sideband64k, response)
	}
	pack := filepath.Join(scratch, "pack")
	if err := r.save(ctx, pack, content); err != nil {
		return err
	}
	return index(pack, objects)
}

// wants are the hashes to ask for, to get the commit, and whether it is the
// commit itself.
func (r *remote) wants(commit plumbing.Hash) (hashes []plumbing.Hash, alone bool) {
	for name, hash := range r.refs.References {
		if hash == commit || r.refs.Peeled[name] == commit {
			return []plumbing.Hash{hash}, true
		}
	}
	if r.refs.Head != nil && *r.refs.Head == commit ||
		r.refs.Capabilities.Supports(capability.AllowReachableSHA1InWant) {
		return []plumbing.Hash{commit}, true
	}
	seen := map[plumbing.Hash]bool{}
	for name, hash := range r.refs.References {
		if (strings.HasPrefix(name, "refs/heads/") || strings.HasPrefix(name, "refs/tags/")) && !seen[hash] {
			seen[hash] = true
			hashes = append(hashes, hash)
		}
	}
	return hashes, false
}

func (r *remote) save(ctx context.Context, name string, from io.Reader) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	var disk *os.PathError
	switch closed := f.Close(); {
	case errors.As(err, &disk):
		return err
	case err != nil:
		return r.problem(ctx, err)
	default:
		return closed
	}
}

// folder of the commit that the function is in.
func (r *remote) folder(commit *object.Commit) (*object.Tree, error) {
	root, err := commit.Tree()
	if err != nil {
		return nil, invalid("commit %s cannot be read: %v", commit.Hash, err)
	}
	inside := strings.Trim(path.Clean("/"+r.Path), "/")
	if inside == "" {
		return root, nil
	}
	folder, err := root.Tree(inside)
	if err != nil {
		return nil, because(ReasonPathNotFound, "commit %s has no folder %q", commit.Hash, r.Path)
	}
	return folder, nil
}

// addTree adds the files of a commit's folder.
func addTree(folder *object.Tree, files *tree) error {
	walker := object.NewTreeWalker(folder, true, nil)
	defer walker.Close()
	for {
		name, entry, err := walker.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return invalid("the commit cannot be read: %v", err)
		case entry.Mode == filemode.Submodule:
			return invalid("the source has a submodule, and submodules are not fetched: %q; set path to a folder without", name)
		}
		mode, err := entry.Mode.ToOSFileMode()
		if err != nil {
			return invalid("the source has a file of an unknown kind: %q", name)
		}
		if err := addEntry(folder, files, name, &entry, mode); err != nil {
			return err
		}
	}
}

func addEntry(folder *object.Tree, files *tree, name string, entry *object.TreeEntry, mode os.FileMode) error {
	if !mode.IsRegular() {
		return files.add(name, mode, 0, nil)
	}
	file, err := folder.TreeEntryFile(entry)
	if err != nil {
		return invalid("the commit has no content of %q: %v", name, err)
	}
	content, err := file.Reader()
	if err != nil {
		return invalid("the commit has no content of %q: %v", name, err)
	}
	defer content.Close()
	return files.add(name, mode, file.Size, content)
}

// problem says what an error of the server means.
func (r *remote) problem(ctx context.Context, err error) error {
	var already *InvalidError
	host := r.endpoint.Host
	switch {
	case r.network.refusal() != nil, errors.As(err, &already):
		return r.network.unreachable(ctx, host, err)
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return because(ReasonRepositoryNotFound, "%s has no repository %q, or none that the Secret's user may read", host, r.endpoint.Path)
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return because(ReasonEmpty, "repository %q of %s has no commit", r.endpoint.Path, host)
	case errors.Is(err, transport.ErrAuthenticationRequired):
		return because(ReasonAccessDenied, "%s asks for a user and a password, or does not take those of the Secret: set secretRef to a Secret with %s and %s", host, keyUsername, keyPassword)
	case errors.Is(err, transport.ErrAuthorizationFailed):
		return because(ReasonAccessDenied, "%s refuses the Secret's user access to repository %q", host, r.endpoint.Path)
	}
	return r.network.unreachable(ctx, host, fmt.Errorf("git: %w", err))
}
