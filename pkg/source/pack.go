package source

import (
	"encoding/binary"
	"io"
	"os"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// Limits of what git sends, packed a thousandfold at best.
const (
	// maxObject is the largest object that is read: making one from another is
	// done in memory.
	maxObject = 32 << 20
	// maxObjects of a pack, and maxInflated bytes of all of them.
	maxObjects  = 2_000_000
	maxInflated = 4 << 30
)

// index makes the objects of a pack on disk readable, once it is known that none
// of them is a bomb.
func index(pack string, objects storer.Storer) error {
	f, err := os.Open(pack)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := checkPack(f); err != nil {
		return broken(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := packfile.UpdateObjectStorage(objects, f); err != nil {
		return broken(err)
	}
	return nil
}

func checkPack(pack io.Reader) error {
	s := packfile.NewScanner(pack)
	_, count, err := s.Header()
	if err != nil {
		return err
	}
	if count > maxObjects {
		return because(ReasonTooLarge, "the repository has more than %d objects in its history", maxObjects)
	}
	total := int64(0)
	for range count {
		header, err := s.NextObjectHeader()
		if err != nil {
			return err
		}
		size := header.Length
		start := &head{}
		if size <= maxObject {
			if _, _, err := s.NextObject(start); err != nil {
				return err
			}
		}
		if header.Type == plumbing.OFSDeltaObject || header.Type == plumbing.REFDeltaObject {
			size = max(size, start.target())
		}
		if size < 0 || size > maxObject {
			return because(ReasonTooLarge, "the repository has an object of %d bytes; at most %s are read", size, mebibytes(maxObject))
		}
		if total += size; total > maxInflated {
			return because(ReasonTooLarge, "the repository's history unpacks to more than %s", mebibytes(maxInflated))
		}
	}
	return nil
}

// head keeps the first bytes that are written to it.
type head struct{ kept []byte }

func (h *head) Write(p []byte) (int, error) {
	const most = 2 * binary.MaxVarintLen64
	h.kept = append(h.kept, p[:min(len(p), most-len(h.kept))]...)
	return len(p), nil
}

// target is the size of what a delta makes: its second number, after the size of
// what it is made from.
func (h *head) target() int64 {
	_, n := binary.Uvarint(h.kept)
	if n <= 0 {
		return 0 // broken, as its reader will find
	}
	size, n := binary.Uvarint(h.kept[n:])
	if n <= 0 {
		return 0
	}
	return int64(min(size, 1<<62)) //nolint:gosec // bounded
}
