// Package source brings a function's files to where they are built.
package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"syscall"
)

// Limits of what is unpacked.
const (
	MaxFiles = 10_000
	MaxBytes = 256 << 20
)

// Digest of files, path to text, independent of their order: sha256:<hex>.
func Digest(files map[string]string) string {
	h := sha256.New()
	for _, name := range names(files) {
		fmt.Fprintf(h, "%d:%s%d:%s", len(name), name, len(files[name]), files[name])
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Pack writes files as a gzipped tar archive, equal bytes for equal files.
func Pack(files map[string]string) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	t := tar.NewWriter(z)
	for _, name := range names(files) {
		text := files[name]
		if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if _, err := io.WriteString(t, text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := errors.Join(t.Close(), z.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// InvalidError says what is wrong with a source; the user has to change it.
type InvalidError struct{ Message string }

func (e *InvalidError) Error() string { return e.Message }

func invalid(format string, args ...any) error {
	return &InvalidError{Message: fmt.Sprintf(format, args...)}
}

// Unpack writes the regular files of a gzipped tar archive below dir, which
// must exist. Paths that leave it, links and devices are refused with an
// *InvalidError, and so is more than MaxFiles or MaxBytes.
func Unpack(archive io.Reader, dir string) error {
	z, err := gzip.NewReader(archive)
	if err != nil {
		return invalid("the source is no gzipped tar archive: %v", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	t := tar.NewReader(z)
	left := int64(MaxBytes)
	for files := 0; ; files++ {
		header, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		switch {
		case err != nil:
			return invalid("the source is a broken archive: %v", err)
		case files >= MaxFiles:
			return invalid("the source has more than %d files", MaxFiles)
		case !filepath.IsLocal(header.Name):
			return invalid("the source has a path that leaves it: %q", header.Name)
		case header.Typeflag == tar.TypeDir:
			continue
		case header.Typeflag != tar.TypeReg:
			return invalid("the source has something that is neither file nor folder: %q", header.Name)
		case header.Size > left:
			return invalid("the source unpacks to more than %d bytes", MaxBytes)
		}
		left -= header.Size
		if err := write(root, header.Name, t); err != nil {
			return err
		}
	}
}

func write(root *os.Root, name string, content io.Reader) error {
	var err error
	if dir := filepath.Dir(name); dir != "." {
		err = root.MkdirAll(dir, 0o755)
	}
	var f *os.File
	if err == nil {
		f, err = root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	}
	switch {
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, os.ErrExist):
		return invalid("the source has %q twice, or as a file and a folder", name)
	case errors.Is(err, syscall.ENAMETOOLONG):
		return invalid("the source has a name that is too long: %q", name)
	case err != nil:
		return err
	}
	if _, err := io.Copy(f, content); err != nil {
		f.Close()
		return invalid("the source is a broken archive: %v", err)
	}
	return f.Close()
}

func names(files map[string]string) []string {
	list := make([]string, 0, len(files))
	for name := range files {
		list = append(list, name)
	}
	sort.Strings(list)
	return list
}
