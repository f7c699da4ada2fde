package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDigest(t *testing.T) {
	files := map[string]string{"main.py": "x", "lib/util.py": "y"}
	if got, want := Digest(files), Digest(map[string]string{"lib/util.py": "y", "main.py": "x"}); got != want || !strings.HasPrefix(got, "sha256:") {
		t.Errorf("Digest() = %s and %s of the same files", got, want)
	}
	seen := map[string]bool{}
	for _, files := range []map[string]string{
		{}, {"a": ""}, {"a": "b"}, {"ab": ""}, {"": "ab"}, {"a": "", "b": ""}, {"a": "1:b"}, {"a": "b", "c": "d"}, {"a": "bc", "d": ""},
	} {
		d := Digest(files)
		if seen[d] {
			t.Errorf("%v has the digest of other files", files)
		}
		seen[d] = true
	}
}

func TestPackAndUnpack(t *testing.T) {
	files := map[string]string{"main.py": "print('ä')\n", "lib/deep/util.py": "", ".env": "A=1", "lib/..py": "odd"}
	archive, err := Pack(files)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := Pack(files); !bytes.Equal(archive, again) {
		t.Error("equal files give unequal archives")
	}
	dir := t.TempDir()
	if err := Unpack(t.Context(), bytes.NewReader(archive), dir); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, read(t, dir)); diff != "" {
		t.Error("(-packed, +unpacked):", diff)
	}
}

func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		found[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// archive of headers, each with as many zeros as it says.
func archive(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	w := tar.NewWriter(z)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// plainTar of files, as it is before it is packed.
func plainTar(t *testing.T, files map[string]string) []byte {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(packed(t, files)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// declared is an archive whose file says that it is so long.
func declared(t *testing.T, size int64) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if err := tar.NewWriter(z).WriteHeader(&tar.Header{Name: "bomb", Typeflag: tar.TypeReg, Size: size}); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestHostileArchives(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644} }
	many := make([]tar.Header, MaxFiles+1)
	for i := range many {
		many[i] = file(fmt.Sprintf("d/%d", i))
	}
	big := file("big")
	big.Size = 1 << 10
	for name, tt := range map[string]struct {
		archive []byte
		want    string
	}{
		"no archive":      {[]byte("hello"), "no gzipped tar archive"},
		"traversal":       {archive(t, file("../evil")), `leaves it: "../evil"`},
		"deep traversal":  {archive(t, file("a/../../evil")), `leaves it: "a/../../evil"`},
		"absolute":        {archive(t, file("/etc/passwd")), `leaves it: "/etc/passwd"`},
		"symbolic link":   {archive(t, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}), `neither file nor folder: "l"`},
		"hard link":       {archive(t, tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}), `neither file nor folder: "l"`},
		"device":          {archive(t, tar.Header{Name: "d", Typeflag: tar.TypeChar}), `neither file nor folder: "d"`},
		"twice the same":  {archive(t, file("a"), file("a")), `"a" twice`},
		"too many files":  {archive(t, many...), "more than 10000 files"},
		"too long a name": {archive(t, file(strings.Repeat("n", 256))), "name that is too long"},
		"too many bytes":  {declared(t, MaxBytes+1), "more than 268435456 bytes"},
		"cut off":         {archive(t, big)[:20], "broken archive"},
		"a file a folder": {archive(t, file("a"), file("a/b")), `"a/b" twice, or as a file and a folder`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "in", "here")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			err := Unpack(t.Context(), bytes.NewReader(tt.archive), dir)
			var invalid *InvalidError
			if !errors.As(err, &invalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Unpack() = %v, want the user told %q", err, tt.want)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "..", "..", "evil")); len(left) > 0 {
				t.Error("it has written outside of its folder:", left)
			}
		})
	}
}

func TestCheckHandler(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"main.py", "lib/util.py", "pkg/__init__.py", "folder.py/x"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for handler, want := range map[string]string{
		"main.handler": "", "lib.util.handler": "", "pkg.handler": "", "Handler": "", "main.": "",
		"app.handler":    `handler "app.handler": no file app.py in the source, which has folder.py/x, lib/util.py, main.py, pkg/__init__.py; set spec.runtime.handler or rename the file`,
		"folder.handler": `handler "folder.handler": no file folder.py in the source`,
	} {
		err := CheckHandler(dir, handler, "main.py")
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("CheckHandler(%q) = %v, want %q", handler, err, want)
		}
	}
}

func TestCheckHandlerOfJavaScript(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"index.js", "module.mjs", "common.cjs", "typed.ts", "typed/module.mts", "api/index.js", "lib/v1.2.js"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for handler, found := range map[string]bool{
		"index.handler": true, "module.handler": true, "common.handler": true, "api.handler": true, "lib/v1.2.handler": true, "typed.handler": true, "typed/module.handler": true,
		"main.handler": false, "api.index.handler": false,
	} {
		if err := CheckHandler(dir, handler, "index.js"); (err == nil) != found {
			t.Errorf("CheckHandler(%q) = %v", handler, err)
		}
	}
}

func TestCheckHandlerOfPrograms(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "handler.go"), []byte("package function\n\nfunc Handler() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ handler, file, want string }{
		{"Handler", "handler.go", ""},
		{"Handlr", "handler.go", `handler "Handlr" not found: package function has Handler; set spec.runtime.handler`},
		{"any", "handler.go", `handler "any": expected an exported function`},
		{"any", "bootstrap", "no file bootstrap in the source, which has handler.go"},
	} {
		err := CheckHandler(dir, tt.handler, tt.file)
		var invalid *InvalidError
		if tt.want == "" && err != nil || tt.want != "" && (!errors.As(err, &invalid) || !strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("CheckHandler(%q, %q) = %v, want %q", tt.handler, tt.file, err, tt.want)
		}
	}
}

func TestHost(t *testing.T) {
	for want, r := range map[string]Request{
		"git.example":  {Git: &Git{URL: "https://GIT.example:8443/a.git"}},
		"ssh.example":  {Git: &Git{URL: "ssh://git@ssh.example/a.git"}},
		"scp.example":  {Git: &Git{URL: "git@scp.example:team/a.git"}},
		"minio.minio":  {Object: &Object{Endpoint: "http://minio.minio:9000"}},
		"2001:db8::10": {Object: &Object{Endpoint: "https://[2001:db8::10]:9000"}},
		"":             {},
	} {
		if got := r.Host(); got != want {
			t.Errorf("Host() = %q, want %q", got, want)
		}
	}
}
