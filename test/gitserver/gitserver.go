// Package gitserver serves git repositories over https and ssh, as git itself
// does, to tests. It needs the programs of git.
package gitserver

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cgi" //nolint:gosec // Go is newer than the flaw
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// User and Password of repositories below /private over https.
const (
	User     = "reader"
	Password = "correct horse"
)

// Server of git repositories.
type Server struct {
	// HTTPS and SSH are the URLs below which the repositories are.
	HTTPS, SSH string
	// CA is the certificate of the https server, in PEM form.
	CA []byte
	// PrivateKey may read over ssh, and KnownHosts has the ssh server's key.
	PrivateKey, KnownHosts []byte

	t    testing.TB
	root string
}

// Start serves on the IP address until the test ends.
func Start(t testing.TB, ip string) *Server {
	t.Helper()
	s := &Server{t: t, root: t.TempDir()}
	s.serveHTTPS(ip)
	s.serveSSH(ip)
	return s
}

// Create makes an empty repository, whose name ends in .git.
func (s *Server) Create(name string, config ...string) {
	s.t.Helper()
	s.git("", "init", "--quiet", "--bare", "--initial-branch=main", filepath.Join(s.root, name))
	for _, c := range config {
		key, value, _ := strings.Cut(c, "=")
		s.git("", "-C", filepath.Join(s.root, name), "config", key, value)
	}
}

// Commit replaces the content of a branch by files, path to text, and returns the
// commit. A path may begin with a mode of git's and a colon.
func (s *Server) Commit(name, branch string, files map[string]string) string {
	s.t.Helper()
	repository := filepath.Join(s.root, name)
	var in strings.Builder
	fmt.Fprintf(&in, "commit refs/heads/%s\ncommitter Test <test@example.com> now\ndata 4\ntest\n", branch)
	if exec.Command("git", "-C", repository, "rev-parse", "--quiet", "--verify", branch).Run() == nil {
		fmt.Fprintf(&in, "from refs/heads/%s^0\n", branch)
	}
	in.WriteString("deleteall\n")
	paths := make([]string, 0, len(files))
	for path := range files {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	for _, path := range paths {
		mode, file, ok := strings.Cut(path, ":")
		if !ok {
			mode, file = "100644", path
		}
		if mode == "160000" { // a submodule is a commit of elsewhere
			fmt.Fprintf(&in, "M %s %s %s\n", mode, files[path], file)
			continue
		}
		fmt.Fprintf(&in, "M %s inline %s\ndata %d\n%s\n", mode, file, len(files[path]), files[path])
	}
	s.git(in.String(), "-C", repository, "fast-import", "--quiet", "--date-format=now")
	return s.git("", "-C", repository, "rev-parse", branch)
}

// Tag makes an annotated tag.
func (s *Server) Tag(name, tag, commit string) {
	s.t.Helper()
	s.git("", "-C", filepath.Join(s.root, name), "-c", "user.name=Test", "-c", "user.email=test@example.com", "tag", "-m", "test", tag, commit)
}

// DeleteBranch takes it away.
func (s *Server) DeleteBranch(name, branch string) {
	s.t.Helper()
	s.git("", "-C", filepath.Join(s.root, name), "update-ref", "-d", "refs/heads/"+branch)
}

func (s *Server) git(stdin string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env = s.env()
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// env of git: nothing of whoever runs the test.
func (s *Server) env() []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + s.root, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}
}

func (s *Server) serveHTTPS(ip string) {
	backend := &cgi.Handler{
		Path: filepath.Join(s.git("", "--exec-path"), "git-http-backend"),
		Env:  append(s.env(), "GIT_PROJECT_ROOT="+s.root, "GIT_HTTP_EXPORT_ALL=1"),
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); strings.HasPrefix(r.URL.Path, "/private/") && (user != User || password != Password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	})
	server := httptest.NewUnstartedServer(handler)
	server.Listener.Close()
	server.Listener = s.listen(ip)
	certificate := s.certificate(ip)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	s.t.Cleanup(server.Close)
	s.HTTPS = server.URL
	s.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
}

func (s *Server) listen(ip string) net.Listener {
	s.t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

func (s *Server) certificate(ip string) tls.Certificate {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "git server of a test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IPAddresses: []net.IP{net.ParseIP(ip)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (s *Server) serveSSH(ip string) {
	host, _ := s.key()
	client, private := s.key()
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(client.PublicKey().Marshal()) {
			return nil, fmt.Errorf("unknown key")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	listener := s.listen(ip)
	s.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serveConn(conn, config)
		}
	}()
	address := listener.Addr().(*net.TCPAddr)
	s.SSH = fmt.Sprintf("ssh://git@%s", address)
	s.PrivateKey = private
	s.KnownHosts = []byte(fmt.Sprintf("[%s]:%d %s", ip, address.Port, ssh.MarshalAuthorizedKey(host.PublicKey())))
}

// key is a new one, and its PEM form.
func (s *Server) key() (ssh.Signer, []byte) {
	s.t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		s.t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

func (s *Server) serveConn(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		if c.ChannelType() != "session" {
			_ = c.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go s.serveSession(channel, requests)
	}
}

// serveSession runs git-upload-pack '<repository>', and nothing else.
func (s *Server) serveSession(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer func() { _ = channel.Close() }()
	for r := range requests {
		var command struct{ Line string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &command) != nil {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		repository := strings.Trim(strings.TrimPrefix(command.Line, "git-upload-pack "), "'")
		cmd := exec.Command("git-upload-pack", "--strict", filepath.Join(s.root, filepath.Clean("/"+repository)))
		cmd.Env = s.env()
		cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
		if stdin, err := cmd.StdinPipe(); err == nil { // which does not keep Run from returning
			go func() {
				_, _ = io.Copy(stdin, channel)
				_ = stdin.Close()
			}()
		}
		status := struct{ Code uint32 }{}
		if cmd.Run() != nil {
			status.Code = 128
		}
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(status))
		return
	}
}
