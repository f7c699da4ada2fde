package source

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// archiveEndings are of keys that are unpacked.
var archiveEndings = []string{".zip", ".tar", ".tar.gz", ".tgz"}

// archiveEnding of a key; empty where it is a file to be taken as it is.
func archiveEnding(key string) string {
	key = strings.ToLower(key)
	for _, ending := range archiveEndings {
		if strings.HasSuffix(key, ending) && path.Base(key) != ending {
			return ending
		}
	}
	return ""
}

// Unpack writes the regular files of a gzipped tar archive below dir, which
// must exist. Paths that leave it, links and devices are refused with an
// *InvalidError, and so is more than MaxFiles, MaxBytes, MaxDepth or MaxPath. It ends
// with the context.
func Unpack(ctx context.Context, archive io.Reader, dir string) error {
	t, err := newTree(ctx, dir, MaxBytes)
	if err != nil {
		return err
	}
	defer t.close()
	return t.gunzip(archive)
}

// unpackFile adds the files of an archive on disk, of this ending.
func (t *tree) unpackFile(name, ending string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	t.packed = info.Size()
	switch ending {
	case ".zip":
		return t.unzip(f, info.Size())
	case ".tar":
		return t.untar(bufio.NewReader(f))
	}
	return t.gunzip(bufio.NewReader(f))
}

func (t *tree) gunzip(archive io.Reader) error {
	z, err := gzip.NewReader(archive)
	if err != nil {
		return invalid("the source is no gzipped tar archive: %v", err)
	}
	return t.untar(z)
}

func (t *tree) untar(archive io.Reader) error {
	// What is read is bounded too: a header that is passed over has a length.
	reader := tar.NewReader(&bounded{Reader: archive, left: t.limit + MaxFiles*tarHeaders, limit: t.limit})
	for {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		header, err := reader.Next()
		var tooLarge *InvalidError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &tooLarge):
			return tooLarge
		case err != nil:
			return invalid("the source is a broken archive: %v", err)
		case header.Typeflag == tar.TypeXGlobalHeader: // git archive writes one
			continue
		}
		mode := header.FileInfo().Mode()
		if header.Typeflag == tar.TypeLink { // whose mode is that of a file
			mode |= fs.ModeSymlink
		}
		if err := t.add(header.Name, mode, header.Size, reader); err != nil {
			return err
		}
	}
}

func (t *tree) unzip(archive io.ReaderAt, size int64) error {
	directory := &directoryReader{ReaderAt: archive, left: maxDirectory}
	z, err := zip.NewReader(directory, size)
	directory.left = -1
	switch {
	case directory.tooLong:
		return tooMany()
	case err != nil:
		return invalid("the source is no zip archive: %v", err)
	case len(z.File) > MaxFiles:
		return tooMany()
	}
	for _, f := range z.File {
		if f.Flags&0x1 != 0 {
			return invalid("the source has a file that is encrypted: %s", quoted(f.Name))
		}
		// Some programs write paths as Windows has them.
		name := strings.ReplaceAll(f.Name, `\`, "/")
		mode := f.Mode()
		if strings.HasSuffix(name, "/") {
			mode |= fs.ModeDir
		}
		if f.UncompressedSize64 > uint64(t.limit) { //nolint:gosec // not negative
			return t.tooLarge()
		}
		if err := t.addZipped(f, name, mode); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) addZipped(f *zip.File, name string, mode fs.FileMode) error {
	if !mode.IsRegular() { // nothing is read of it
		return t.add(name, mode, 0, nil)
	}
	content, err := f.Open()
	if err != nil {
		return invalid("the source has a file that cannot be unpacked: %s: %v", quoted(f.Name), err)
	}
	defer content.Close()
	return t.add(name, mode, int64(f.UncompressedSize64), content) //nolint:gosec // bounded by the caller
}

// maxDirectory of a zip archive, in bytes: all of it is held in memory.
const maxDirectory = 4 << 20

// directoryReader reads so many bytes while a directory is read.
type directoryReader struct {
	io.ReaderAt
	left    int64 // negative when the directory is read
	tooLong bool
}

func (d *directoryReader) ReadAt(p []byte, offset int64) (int, error) {
	if d.left >= 0 {
		if d.left -= int64(len(p)); d.left < 0 {
			d.left, d.tooLong = 0, true
			return 0, tooMany()
		}
	}
	return d.ReaderAt.ReadAt(p, offset)
}

// bounded is a reader that ends with an *InvalidError after so many bytes, which says
// that there are more than the limit.
type bounded struct {
	io.Reader
	left, limit int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, overLimit(b.limit)
	}
	return n, err
}
