// Package packages serves one small package each of Python, Node.js and Go to tests,
// as the registries of these languages do.
package packages

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
)

// Names and version of the packages. Each has a function, words in Python and
// Node.js and Words in Go, that returns what the server was started with.
const (
	Python  = "lambda-words"
	Node    = "lambda-words"
	Go      = "example.com/lambda/words"
	Version = "1.2.3"
)

// Server of the packages.
type Server struct {
	// Host is its address; PyPI, NPM and GoProxy are the URLs of the registries.
	Host, PyPI, NPM, GoProxy string

	mu    sync.Mutex
	asked map[string]bool
}

// Start serves on the IP address until the test ends.
func Start(t testing.TB, ip, words string) *Server {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	s := &Server{Host: ip, PyPI: url + "/pypi/simple/", NPM: url + "/npm/", GoProxy: url + "/go", asked: map[string]bool{}}
	files := map[string][]byte{}
	for _, add := range []func(string, string, map[string][]byte) error{addWheel, addPackage, addModule} {
		if err := add(url, words, files); err != nil {
			t.Fatal(err)
		}
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, files) })} //nolint:gosec // of a test
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return s
}

// Asked tells whether somebody has taken the package itself from below the URL.
func (s *Server) Asked(registry string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[registry]
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, files map[string][]byte) {
	content, ok := files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	s.mu.Lock()
	for registry, file := range map[string]string{s.PyPI: wheelPath, s.NPM: tarballPath, s.GoProxy: modulePath + ".zip"} {
		if r.URL.Path == file {
			s.asked[registry] = true
		}
	}
	s.mu.Unlock()
	if r.URL.Path == indexPath {
		w.Header().Set("Content-Type", "text/html")
	}
	_, _ = w.Write(content)
}

// Paths of the packages on the server.
const (
	wheelName   = "lambda_words-" + Version + "-py3-none-any.whl"
	indexPath   = "/pypi/simple/" + Python + "/"
	wheelPath   = "/pypi/" + wheelName
	tarballPath = "/npm/" + Node + "/-/" + Node + "-" + Version + ".tgz"
	modulePath  = "/go/" + Go + "/@v/v" + Version
)

// file of an archive.
type file struct{ name, text string }

func zipped(files []file) ([]byte, error) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range files {
		w, err := z.Create(f.name)
		if err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return out.Bytes(), err
}

// addWheel adds a wheel and the page of the simple index that names it (PEP 503).
func addWheel(_, words string, files map[string][]byte) error {
	info := "lambda_words-" + Version + ".dist-info/"
	wheel, err := zipped([]file{
		{"lambda_words.py", fmt.Sprintf("def words():\n    return %q\n", words)},
		{info + "METADATA", "Metadata-Version: 2.1\nName: " + Python + "\nVersion: " + Version + "\n"},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "RECORD", "lambda_words.py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n"},
	})
	files[wheelPath] = wheel
	files[indexPath] = []byte(`<!DOCTYPE html><html><body><a href="../../` + wheelName + `">` + wheelName + `</a></body></html>`)
	return err
}

// addPackage adds a tarball and the document of the npm registry that names it.
func addPackage(url, words string, files map[string][]byte) error {
	manifest := map[string]any{"name": Node, "version": Version, "main": "index.js"}
	text, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, f := range []file{{"package/package.json", string(text)}, {"package/index.js", fmt.Sprintf("exports.words = () => %q;\n", words)}} {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.text))}); err != nil {
			return err
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	sum := sha512.Sum512(out.Bytes())
	manifest["dist"] = map[string]string{"tarball": url + tarballPath, "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
	document, err := json.Marshal(map[string]any{"name": Node, "dist-tags": map[string]string{"latest": Version}, "versions": map[string]any{Version: manifest}})
	files[tarballPath], files["/npm/"+Node] = out.Bytes(), document
	return err
}

// addModule adds what a proxy of Go modules has of one version.
func addModule(_, words string, files map[string][]byte) error {
	mod := "module " + Go + "\n\ngo 1.25\n"
	prefix := Go + "@v" + Version + "/"
	module, err := zipped([]file{{prefix + "go.mod", mod}, {prefix + "words.go", fmt.Sprintf("package words\n\nfunc Words() string { return %q }\n", words)}})
	files[modulePath+".zip"], files[modulePath+".mod"] = module, []byte(mod)
	files[modulePath+".info"] = []byte(`{"Version":"v` + Version + `","Time":"2026-01-02T03:04:05Z"}`)
	files["/go/"+Go+"/@v/list"] = []byte("v" + Version + "\n")
	return err
}
