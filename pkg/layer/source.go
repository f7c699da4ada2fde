package layer

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

// ReasonNeedsPod is of a source that takes a build in a pod, which only its files
// tell.
const ReasonNeedsPod = "NeedsPod"

var errNeedsPod = errors.New("the source takes a build in a pod")

// source is the files of the request, which have the handler, and what removes
// them.
func (w *work) source(ctx context.Context) (files []File, remove func(), err error) {
	files, remove = w.Files, func() {}
	if w.Fetch != nil {
		dir, err := os.MkdirTemp("", "source-*")
		if err != nil {
			return nil, remove, err
		}
		remove = func() { os.RemoveAll(dir) }
		if files, err = w.fetched(ctx, dir); err != nil {
			return nil, remove, err
		}
	}
	return files, remove, source.CheckHandlerIn(paths(files), w.Handler, w.File)
}

func (w *work) fetched(ctx context.Context, dir string) ([]File, error) {
	if err := w.Fetch(ctx, dir); source.OverLimit(err) {
		return nil, fmt.Errorf("%w: %w", errNeedsPod, err)
	} else if err != nil {
		return nil, err
	}
	files, err := Dir(dir)
	if err != nil {
		return nil, err
	}
	var size int64
	for _, f := range files {
		size += f.Size
		if f.Path == w.Dependencies && f.Size > 0 {
			return nil, fmt.Errorf("%w: it has %s", errNeedsPod, f.Path)
		}
	}
	if size > MaxSource {
		return nil, fmt.Errorf("%w: it has %d bytes", errNeedsPod, size)
	}
	return files, nil
}
