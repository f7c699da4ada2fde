package layer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// MaxSource is how many bytes of files a source may have to be made into a layer
// here, in the memory of a process that makes several.
const MaxSource = 16 << 20

// File is one of a source: a regular file by its path in it.
type File struct {
	Path       string
	Executable bool
	Size       int64
	Open       func() (io.ReadCloser, error)
}

// Inline are files whose text is at hand. What says which program runs it is one
// itself.
func Inline(texts map[string]string) []File {
	files := make([]File, 0, len(texts))
	for name, text := range texts {
		files = append(files, File{Path: name, Executable: strings.HasPrefix(text, "#!"), Size: int64(len(text)), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(text)), nil
		}})
	}
	return files
}

// Dir are the regular files below a folder.
func Dir(dir string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		files = append(files, File{Path: filepath.ToSlash(relative), Executable: info.Mode()&0o111 != 0, Size: info.Size(),
			Open: func() (io.ReadCloser, error) { return os.Open(name) }})
		return err
	})
	return files, err
}

// paths of the files.
func paths(files []File) []string {
	list := make([]string, len(files))
	for i, f := range files {
		list[i] = f.Path
	}
	return list
}

// entry of a layer, by its path in the image without the leading slash.
type entry struct {
	mode int64
	size int64
	// link is the target of a symbolic link; a file's content is in open.
	link string
	open func() (io.ReadCloser, error)
}

// entriesAt are the files as entries below a folder of the image.
func entriesAt(folder string, files []File) map[string]entry {
	entries := make(map[string]entry, len(files))
	for _, f := range files {
		mode := int64(0o644)
		if f.Executable {
			mode = 0o755
		}
		entries[path.Join(strings.Trim(folder, "/"), f.Path)] = entry{mode: mode, size: f.Size, open: f.Open}
	}
	return entries
}

// epoch is when everything in a layer was changed, so that equal files are equal
// layers.
var epoch = time.Unix(0, 0)

// archive writes entries, and the folders above them, as root's.
func archive(to io.Writer, entries map[string]entry) error {
	w := tar.NewWriter(to)
	names := make([]string, 0, 2*len(entries))
	folders := map[string]bool{".": true, "/": true}
	for name := range entries {
		names = append(names, name)
		for dir := path.Dir(name); !folders[dir]; dir = path.Dir(dir) {
			folders[dir] = true
			names = append(names, dir)
		}
	}
	sort.Strings(names) // a folder comes before what is in it
	for _, name := range names {
		e, is := entries[name]
		if !is {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: epoch}); err != nil {
				return err
			}
			continue
		}
		if err := e.write(w, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return w.Close()
}

func (e entry) write(w *tar.Writer, name string) error {
	if e.link != "" {
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: e.link, Mode: 0o777, ModTime: epoch})
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: e.mode, Size: e.size, ModTime: epoch}); err != nil {
		return err
	}
	content, err := e.open()
	if err != nil {
		return err
	}
	_, err = io.Copy(w, content)
	return errors.Join(err, content.Close())
}

// layer is a v1.Layer in memory.
type layer struct {
	compressed     []byte
	digest, diffID v1.Hash
	mediaType      types.MediaType
}

// newLayer makes a layer, equal bytes for equal entries.
func newLayer(entries map[string]entry) (*layer, error) {
	var compressed bytes.Buffer
	plain := sha256.New()
	z := gzip.NewWriter(&compressed)
	if err := archive(io.MultiWriter(plain, z), entries); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	digest := sha256.Sum256(compressed.Bytes())
	return &layer{
		compressed: compressed.Bytes(),
		digest:     v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(digest[:])},
		diffID:     v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(plain.Sum(nil))},
	}, nil
}

// as is the layer in an image of that manifest type.
func (l *layer) as(manifest types.MediaType) *layer {
	typed := *l
	typed.mediaType = types.DockerLayer
	if manifest == types.OCIManifestSchema1 {
		typed.mediaType = types.OCILayer
	}
	return &typed
}

func (l *layer) Digest() (v1.Hash, error)            { return l.digest, nil }
func (l *layer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l *layer) Size() (int64, error)                { return int64(len(l.compressed)), nil }
func (l *layer) MediaType() (types.MediaType, error) { return l.mediaType, nil }
func (l *layer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.compressed)), nil
}
func (l *layer) Uncompressed() (io.ReadCloser, error) {
	return gzip.NewReader(bytes.NewReader(l.compressed))
}
