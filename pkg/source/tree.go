package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Limits of what is unpacked.
const (
	// MaxFiles is how many files and folders a source has.
	MaxFiles = 10_000
	// MaxBytes is how many bytes its files have together.
	MaxBytes = 256 << 20
	// MaxDepth is how many folders a path has, with the file's own name.
	MaxDepth = 64
	// MaxPath is how many bytes a path has: well below PATH_MAX, with room for the folder
	// that the source is in.
	MaxPath = 1 << 10
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
	ctx  context.Context //nolint:containedctx // of one Fetch or Unpack
	root *os.Root
	// limit of the bytes that are unpacked.
	limit int64
	// packed is the size of the archive; 0 where there is none.
	packed int64
	// entries are files and folders, those too that only paths name.
	entries, files int
	folders        map[string]bool
	bytes          int64
}

func newTree(ctx context.Context, dir string, limit int64) (*tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &tree{ctx: ctx, root: root, limit: limit, folders: map[string]bool{}}, nil
}

func (t *tree) close() { t.root.Close() }

// add writes one file of size bytes, or counts a folder. A file is executable
// where its mode says so, or where its content does: not everything that keeps
// files keeps modes.
func (t *tree) add(name string, mode fs.FileMode, size int64, content io.Reader) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	if !filepath.IsLocal(name) || strings.ContainsRune(name, 0) {
		return invalid("the source has a path that leaves it: %s", quoted(name))
	}
	clean := path.Clean(name)
	if err := t.count(clean, mode.IsDir()); err != nil {
		return err
	}
	switch {
	case mode.IsDir():
		return nil
	case !mode.IsRegular():
		return invalid("the source has something that is neither file nor folder: %s%s", quoted(name), why(mode))
	case clean == ".":
		return invalid("the source has a file without a name: %s", quoted(name))
	case size < 0 || size > t.limit-t.bytes:
		return t.tooLarge()
	case t.packed > 0 && t.bytes+size > freeBytes && t.bytes+size > MaxRatio*t.packed:
		return because(ReasonTooLarge, "the source unpacks to more than %d times its size: no code does", MaxRatio)
	}
	t.files++
	t.bytes += size
	return t.write(clean, mode, size, content)
}

// count an entry and the folders that its path makes. It returns an error if the path is
// too long or too deep, or there are too many entries: all of it takes inodes, and time
// of whatever walks through the folder.
func (t *tree) count(name string, folder bool) error {
	if len(name) > MaxPath {
		return invalid("the source has a path of %d bytes, more than %d: %s", len(name), MaxPath, quoted(name))
	}
	if strings.Count(name, "/") >= MaxDepth {
		return invalid("the source has a path that is more than %d folders deep: %s", MaxDepth, quoted(name))
	}
	t.entries++
	if folder {
		t.folders[name] = true
	}
	for dir := path.Dir(name); dir != "." && !t.folders[dir]; dir = path.Dir(dir) {
		t.folders[dir] = true
		t.entries++
	}
	if t.entries > MaxFiles {
		return tooMany()
	}
	return nil
}

func tooMany() error {
	return because(ReasonTooLarge, "the source has more than %d files and folders", MaxFiles)
}

// tooLarge is of a source that has more bytes than the limit.
func (t *tree) tooLarge() error { return overLimit(t.limit) }

// quoted is a path, or the beginning of one that is long, for a message.
func quoted(name string) string {
	const most = 128
	if len(name) <= most {
		return strconv.Quote(name)
	}
	return strconv.Quote(strings.ToValidUTF8(name[:most], "")) + "…"
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
		return invalid("the source has %s twice, or as a file and a folder", quoted(name))
	case errors.Is(err, syscall.ENAMETOOLONG):
		return invalid("the source has a name that is too long: %s", quoted(name))
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
		return invalid("the source is a broken archive: %s has not the length that it says", quoted(name))
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
