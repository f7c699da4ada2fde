package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"
)

const (
	sshPort = 22
	sshUser = "git"
)

// sshUploadPack is git-upload-pack on a server, spoken to over ssh. go-git's own
// client would dial by itself.
type sshUploadPack struct {
	client  *ssh.Client
	session *ssh.Session
	stop    func() bool
	stdin   io.WriteCloser
	stdout  io.Reader
	stderr  *tail
}

func sshSession(ctx context.Context, n *network, endpoint *transport.Endpoint, secret Credentials) (transport.UploadPackSession, error) {
	port := endpoint.Port
	if port <= 0 {
		port = sshPort
	}
	address := net.JoinHostPort(endpoint.Host, strconv.Itoa(port))
	config, err := sshConfig(address, endpoint.User, secret)
	if err != nil {
		return nil, err
	}
	conn, err := n.dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &sshUploadPack{stderr: &tail{}}
	s.stop = context.AfterFunc(ctx, func() { release(conn) }) // ends whatever waits for it
	c, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		s.stop()
		conn.Close()
		return nil, sshProblem(endpoint.Host, err)
	}
	s.client = ssh.NewClient(c, channels, requests)
	if err := s.start(endpoint.Path); err != nil {
		release(s)
		return nil, err
	}
	return s, nil
}

func sshConfig(address, user string, secret Credentials) (*ssh.ClientConfig, error) {
	for _, key := range []string{keyPrivate, keyKnownHosts} {
		if len(secret[key]) == 0 {
			return nil, because(ReasonSecretInvalid, "git over ssh takes a Secret with %s and %s: %s is missing", keyPrivate, keyKnownHosts, key)
		}
	}
	signer, err := ssh.ParsePrivateKey(secret[keyPrivate])
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, because(ReasonSecretInvalid, "the Secret's %s is locked by a passphrase: put one there that is not", keyPrivate)
	case err != nil: // the error may quote the key
		return nil, because(ReasonSecretInvalid, "the Secret's %s is no private key in PEM form", keyPrivate)
	}
	known, err := parseKnownHosts(address, secret[keyKnownHosts])
	if err != nil {
		return nil, err
	}
	if user == "" {
		user = sshUser
	}
	return &ssh.ClientConfig{
		User:              user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback:   known.check,
		HostKeyAlgorithms: known.algorithms(),
		Timeout:           dialTimeout,
	}, nil
}

func sshProblem(host string, err error) error {
	var already *InvalidError
	if errors.As(err, &already) {
		return already
	}
	if strings.Contains(err.Error(), "unable to authenticate") { // it has no type
		return because(ReasonAccessDenied, "%s does not take the Secret's %s", host, keyPrivate)
	}
	return err
}

func (s *sshUploadPack) start(repository string) (err error) {
	if s.session, err = s.client.NewSession(); err != nil {
		return err
	}
	s.session.Stderr = s.stderr
	if s.stdin, err = s.session.StdinPipe(); err != nil {
		return err
	}
	if s.stdout, err = s.session.StdoutPipe(); err != nil {
		return err
	}
	return s.session.Start("git-upload-pack " + quote(repository))
}

// quote text as git does for the shell that a server may hand the command to.
func quote(text string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(text) + "'"
}

func (s *sshUploadPack) AdvertisedReferences() (*packp.AdvRefs, error) {
	return s.AdvertisedReferencesContext(context.Background())
}

// AdvertisedReferencesContext implements transport.Session. The context is the
// one that the session was made with.
func (s *sshUploadPack) AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error) {
	refs := packp.NewAdvRefs()
	err := refs.Decode(s.stdout)
	var said *pktline.ErrorLine
	switch {
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && refs.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	case errors.As(err, &said):
		return nil, s.refused(said.Text)
	case err != nil:
		release(s.stdin)
		_ = s.session.Wait() // for all of stderr
		return nil, s.refused(s.stderr.String())
	}
	transport.FilterUnsupportedCapabilities(refs.Capabilities)
	return refs, nil
}

// refused is what a server means that says so instead of answering.
func (s *sshUploadPack) refused(said string) error {
	lower := strings.ToLower(said)
	for _, words := range []string{"not found", "does not exist", "does not appear to be a git repository", "no such"} {
		if strings.Contains(lower, words) {
			return transport.ErrRepositoryNotFound
		}
	}
	for _, words := range []string{"denied", "not allowed", "unauthorized", "forbidden", "access"} {
		if strings.Contains(lower, words) {
			return transport.ErrAuthorizationFailed
		}
	}
	return fmt.Errorf("the server ended the connection: %s", strings.TrimSpace(said))
}

// UploadPack implements transport.UploadPackSession.
func (s *sshUploadPack) UploadPack(_ context.Context, request *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	if err := request.Validate(); err != nil {
		return nil, err
	}
	if err := request.UploadRequest.Encode(s.stdin); err != nil {
		return nil, err
	}
	if err := pktline.NewEncoder(s.stdin).EncodeString("done\n"); err != nil {
		return nil, err
	}
	response := packp.NewUploadPackResponse(request)
	if err := response.Decode(io.NopCloser(s.stdout)); err != nil {
		return nil, err
	}
	return response, nil
}

func (s *sshUploadPack) Close() error {
	s.stop()
	if s.session != nil {
		release(s.session)
	}
	return s.client.Close()
}

// tail keeps the last of what is written to it.
type tail struct{ bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	const most = 1 << 10
	if t.Len()+len(p) > most {
		t.Reset()
	}
	t.Buffer.Write(p[max(0, len(p)-most):])
	return len(p), nil
}
