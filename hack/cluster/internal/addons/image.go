package addons

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

// file of an image: content, or a directory where it ends in "/".
type file struct {
	content []byte
	mode    int64
}

// epoch makes images reproducible.
var epoch = time.Unix(0, 0)

// layerOf makes a layer of a few files.
func layerOf(files map[string]file) (v1.Layer, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		f := files[n]
		h := &tar.Header{Name: n, Mode: f.mode, Size: int64(len(f.content)), Typeflag: tar.TypeReg, ModTime: epoch}
		if strings.HasSuffix(n, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil })
}

// push makes an image of one layer and pushes it, unless the registry has it by
// the tag that its key names. The reference, with that tag, is returned.
func push(ctx context.Context, e *env.Env, repository, key string, config v1.Config, layer func() (v1.Layer, error)) (string, error) {
	ref, err := name.NewTag(env.Registry + "/" + repository + ":" + key)
	if err != nil {
		return "", err
	}
	if _, err := remote.Head(ref, remote.WithContext(ctx)); err == nil {
		return ref.String(), nil
	}
	l, err := layer()
	if err != nil {
		return "", err
	}
	image, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return "", err
	}
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", Config: config, RootFS: rootFS(image), Created: v1.Time{Time: epoch}})
	if err != nil {
		return "", err
	}
	e.Say("images", "pushing %s", repository)
	if err := remote.Write(ref, image, remote.WithContext(ctx)); err != nil {
		return "", err
	}
	return ref.String(), nil
}

func rootFS(image v1.Image) v1.RootFS {
	c, err := image.ConfigFile()
	if err != nil {
		return v1.RootFS{Type: "layers"}
	}
	return c.RootFS
}

// tagLatest lets an image be found by a fixed name too.
func tagLatest(ctx context.Context, reference string) error {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return err
	}
	image, err := remote.Image(ref, remote.WithContext(ctx))
	if err != nil {
		return err
	}
	return remote.Tag(ref.Context().Tag("latest"), image, remote.WithContext(ctx))
}

// alias lets an image be found in another repository too, as latest.
func alias(ctx context.Context, reference, repository string) error {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return err
	}
	to, err := name.NewTag(env.Registry + "/" + repository + ":latest")
	if err != nil {
		return err
	}
	wanted, err := remote.Head(ref, remote.WithContext(ctx))
	if err != nil {
		return err
	}
	if has, err := remote.Head(to, remote.WithContext(ctx)); err == nil && has.Digest == wanted.Digest {
		return nil
	}
	image, err := remote.Image(ref, remote.WithContext(ctx))
	if err != nil {
		return err
	}
	return remote.Write(to, image, remote.WithContext(ctx))
}

// layerOfTree makes a layer of a directory, without what skip names (relative
// paths and all below them).
func layerOfTree(dir string, extra map[string]file, skip ...string) (v1.Layer, error) {
	temp, err := os.CreateTemp("", "layer-*.tar")
	if err != nil {
		return nil, err
	}
	defer temp.Close()
	w := tar.NewWriter(temp)
	err = filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil || rel == "." {
			return err
		}
		for _, s := range skip {
			if strings.HasPrefix(rel, s+"/") {
				if info.IsDir() {
					return filepath.SkipDir
				}
				return nil
			}
		}
		if _, replaced := extra[rel]; replaced || info.Mode()&(os.ModeDevice|os.ModeSocket|os.ModeNamedPipe) != 0 {
			return nil
		}
		return addFile(w, path, rel, info)
	})
	if err != nil {
		return nil, err
	}
	for n, f := range extra {
		if err := w.WriteHeader(&tar.Header{Name: n, Mode: f.mode, Size: int64(len(f.content)), Typeflag: tar.TypeReg, ModTime: epoch}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromFile(temp.Name())
}

func addFile(w *tar.Writer, path, rel string, info os.FileInfo) error {
	link := ""
	if info.Mode()&os.ModeSymlink != 0 {
		var err error
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.ModTime, h.AccessTime, h.ChangeTime = rel, epoch, time.Time{}, time.Time{}
	if info.IsDir() {
		h.Name += "/"
	}
	if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(w, f); err != nil {
		return fmt.Errorf("%s: %w", rel, err)
	}
	return nil
}
