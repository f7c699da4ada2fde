package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
)

// assemble puts layers on the base image, and the recipe's settings into its
// configuration.
func assemble(base v1.Image, recipe *build.Recipe, layers ...*layer) (v1.Image, error) {
	manifest, err := base.MediaType()
	if err != nil {
		return nil, err
	}
	configured, err := base.ConfigFile()
	if err != nil {
		return nil, err
	}
	image := base
	for _, l := range layers {
		history := v1.History{Created: configured.Created, CreatedBy: "knative-lambda-operator"}
		if image, err = mutate.Append(image, mutate.Addendum{Layer: l.as(manifest), History: history}); err != nil {
			return nil, err
		}
	}
	appended, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file := appended.DeepCopy()
	c := &file.Config
	c.Entrypoint, c.Cmd = recipe.Entrypoint, nil // as a Dockerfile's ENTRYPOINT takes back the base image's CMD
	for _, e := range recipe.Env {
		name, _, _ := strings.Cut(e, "=")
		c.Env = slices.DeleteFunc(c.Env, func(have string) bool { return strings.HasPrefix(have, name+"=") })
		c.Env = append(c.Env, e)
	}
	if recipe.WorkDir != "" {
		c.WorkingDir = recipe.WorkDir
	}
	if recipe.User != "" {
		c.User = recipe.User
	}
	return mutate.ConfigFile(image, file)
}

// extract reads what copies take from an image, as entries of a layer.
func extract(image v1.Image, copies []build.Copy) (map[string]entry, error) {
	flat := mutate.Extract(image)
	defer flat.Close()
	entries := map[string]entry{}
	found := make([]bool, len(copies))
	for files := tar.NewReader(flat); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		for i, c := range copies {
			target, ok := target(c, header)
			if !ok {
				continue
			}
			e, err := read(header, files)
			if err != nil {
				return nil, err
			}
			if e != nil {
				entries[target], found[i] = *e, true
			}
			break
		}
	}
	if i := slices.Index(found, false); i >= 0 {
		return nil, &missingError{copies[i].Image, copies[i].From}
	}
	return entries, nil
}

// target is where a copy puts a file of the image, if anywhere.
func target(c build.Copy, header *tar.Header) (string, bool) {
	name, from, to := path.Clean("/"+header.Name), path.Clean(c.From), strings.TrimPrefix(c.To, "/")
	if name == from && header.Typeflag != tar.TypeDir {
		if strings.HasSuffix(to, "/") {
			to += path.Base(from)
		}
		return path.Clean(to), true
	}
	if below, ok := strings.CutPrefix(name, strings.TrimSuffix(from, "/")+"/"); ok && header.Typeflag != tar.TypeDir {
		return path.Join(to, below), true
	}
	return "", false
}

// read a file of an image; nil for what images of programs do not have.
func read(header *tar.Header, content io.Reader) (*entry, error) {
	switch header.Typeflag {
	case tar.TypeSymlink:
		return &entry{link: header.Linkname}, nil
	case tar.TypeReg:
		data, err := io.ReadAll(content)
		return &entry{mode: header.Mode & 0o777, size: int64(len(data)), open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(data)), nil
		}}, err
	}
	return nil, nil
}

// missingError says that an image has no such path.
type missingError struct{ image, path string }

func (e *missingError) Error() string {
	return fmt.Sprintf("image %s has no %s", e.image, e.path)
}
