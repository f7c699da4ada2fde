package source

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// Limits of what is unpacked.
const (
	MaxFiles = 10_000
	MaxBytes = 256 << 20
	// MaxRatio of what is unpacked to the archive, where it is more than
	// freeBytes: code is packed to a tenth, bombs to a thousandth.
	MaxRatio  = 100
	freeBytes = 16 << 20
	// tarHeaders of one file may have this many bytes.
	tarHeaders = 4 << 10
)

// tree is the folder that the files of a source are written to. Whatever they
// are called, they cannot leave it.
type tree struct {
	root *os.Root
	// packed is the size of the archive; 0 where there is none.
	packed int64
	// entries are files and folders.
	entries, files int
	bytes          int64
}

func newTree(dir string) (*tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &tree{root: root}, nil
}

func (t *tree) close() { t.root.Close() }

// add writes one file of size bytes, or counts a folder. A file is executable
// where its mode says so, or where its content does: not everything that keeps
// files keeps modes.
func (t *tree) add(name string, mode fs.FileMode, size int64, content io.Reader) error {
	t.entries++
	clean := path.Clean(name)
	switch {
	case t.entries > MaxFiles:
		return because(ReasonTooLarge, "the source has more than %d files", MaxFiles)
	case !filepath.IsLocal(name) || strings.ContainsRune(name, 0):
		return invalid("the source has a path that leaves it: %q", name)
	case mode.IsDir():
		return nil
	case !mode.IsRegular():
		return invalid("the source has something that is neither file nor folder: %q%s", name, why(mode))
	case clean == ".":
		return invalid("the source has a file without a name: %q", name)
	case size < 0 || t.bytes+size > MaxBytes:
		return tooLarge()
	case t.packed > 0 && t.bytes+size > freeBytes && t.bytes+size > MaxRatio*t.packed:
		return because(ReasonTooLarge, "the source unpacks to more than %d times its size: no code does", MaxRatio)
	}
	t.files++
	t.bytes += size
	return t.write(clean, mode, size, content)
}

func (t *tree) write(name string, mode fs.FileMode, size int64, content io.Reader) error {
	reader := bufio.NewReader(content)
	permissions := fs.FileMode(0o644)
	if mode&0o111 != 0 || isProgram(reader) {
		permissions = 0o755
	}
	var err error
	if dir := path.Dir(name); dir != "." {
		err = t.root.MkdirAll(dir, 0o755)
	}
	var f *os.File
	if err == nil {
		f, err = t.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, permissions)
	}
	switch {
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, os.ErrExist):
		return invalid("the source has %q twice, or as a file and a folder", name)
	case errors.Is(err, syscall.ENAMETOOLONG):
		return invalid("the source has a name that is too long: %q", name)
	case err != nil:
		return err
	}
	// One byte more than it says would be one too many.
	written, err := io.Copy(f, io.LimitReader(reader, size+1))
	var pathError *fs.PathError
	switch closed := f.Close(); {
	case errors.As(err, &pathError): // the disk's, not the archive's
		return err
	case err != nil:
		return broken(err)
	case written != size:
		return invalid("the source is a broken archive: %q has not the length that it says", name)
	default:
		return closed
	}
}

// broken is what reading an archive ends with.
func broken(err error) error {
	var already *InvalidError
	if errors.As(err, &already) {
		return err
	}
	return invalid("the source is a broken archive: %v", err)
}

// isProgram tells whether content begins as what Linux can execute.
func isProgram(content *bufio.Reader) bool {
	start, _ := content.Peek(4)
	return bytes.HasPrefix(start, []byte("#!")) || bytes.Equal(start, []byte("\x7fELF"))
}

// notEmpty tells that the tree holds a file.
func (t *tree) notEmpty() error {
	if t.files == 0 {
		return because(ReasonEmpty, "the source holds no file")
	}
	return nil
}

func why(mode fs.FileMode) string {
	if mode&fs.ModeSymlink != 0 {
		return " is a link: put the file itself there"
	}
	return ""
}
