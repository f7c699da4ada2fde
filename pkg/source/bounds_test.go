package source

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// tree that an archive is unpacked to.
func unpacking(t testing.TB, limit int64) (*tree, string) {
	t.Helper()
	dir := t.TempDir()
	files, err := newTree(t.Context(), dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(files.close)
	return files, dir
}

// entries of a folder, it itself not among them.
func entries(t testing.TB, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(string, fs.DirEntry, error) error {
		n++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n - 1
}

func deep(prefix string, depth int) string {
	return prefix + strings.Repeat("/d", depth-1)
}

// TestFolders: an archive of little more than a kilobyte made 57,000 folders. They count
// as files do, and so do their depth and the length of paths.
func TestFolders(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644} }
	folder := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755} }
	var proof, wide, folders []tar.Header
	for i := range 30 {
		proof = append(proof, file(fmt.Sprintf("%d%s/f", i, strings.Repeat("/d", 1900))))
	}
	for i := range 200 {
		wide = append(wide, file(deep(fmt.Sprint(i), MaxDepth-1)+"/f"))
	}
	for i := range MaxFiles + 1 {
		folders = append(folders, folder(fmt.Sprintf("%d/", i)))
	}
	for name, tt := range map[string]struct {
		headers []tar.Header
		want    string // of the error; empty is none
	}{
		"1900 deep":                {proof, `the source has a path of 3803 bytes, more than 1024: "0/d/d/`},
		"many deep folders":        {wide, "the source has more than 10000 files and folders"},
		"folders alone":            {folders, "the source has more than 10000 files and folders"},
		"as deep as it may be":     {[]tar.Header{file(deep("d", MaxDepth-1) + "/f")}, ""},
		"one deeper":               {[]tar.Header{file(deep("d", MaxDepth) + "/f")}, "the source has a path that is more than 64 folders deep: \"d/d/"},
		"a folder that is as deep": {[]tar.Header{folder(deep("d", MaxDepth+1) + "/")}, "the source has a path that is more than 64 folders deep: \"d/d/"},
		"as long as it may be":     {[]tar.Header{file(strings.Repeat(strings.Repeat("n", 127)+"/", 7) + strings.Repeat("n", 128))}, ""},
		"6001 characters":          {[]tar.Header{file(strings.Repeat("n/", 3000) + "f")}, "the source has a path of 6001 bytes, more than 1024: \"n/n/"},
	} {
		t.Run(name, func(t *testing.T) {
			packed := archive(t, tt.headers...)
			dir, start := t.TempDir(), time.Now()
			err := Unpack(t.Context(), bytes.NewReader(packed), dir)
			took := time.Since(start)
			var invalid *InvalidError
			if tt.want == "" && err != nil || tt.want != "" && (!errors.As(err, &invalid) || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 300) {
				t.Errorf("%d bytes: error %v, want %q", len(packed), err, tt.want)
			}
			if n := entries(t, dir); n > MaxFiles {
				t.Errorf("%d files and folders were made", n)
			}
			if took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestUnpack_EndsWithTheContext: nothing is written once nobody waits for it.
func TestUnpack_EndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	packed, dir := archive(t, tar.Header{Name: "a/b", Typeflag: tar.TypeReg}), t.TempDir()
	if err := Unpack(ctx, bytes.NewReader(packed), dir); !errors.Is(err, context.Canceled) {
		t.Errorf("Unpack() = %v, want the context's error", err)
	}
	if n := entries(t, dir); n > 0 {
		t.Errorf("%d files and folders were made", n)
	}
}

// TestClaimedSizes: what a store says of a size is no bound. It sends no more than that,
// and no more than the caller's limit is fetched or unpacked.
func TestClaimedSizes(t *testing.T) {
	const limit = 1 << 20
	large := strings.Repeat("x", 4*limit)
	s := newObjectStore(t, map[string]string{
		"lies.py": large, "large.py": large, "prefix/a.py": large[:limit/2+1], "prefix/b.py": large[:limit/2+1],
		"large.zip": zipped(t, map[string]string{"a": large[:2*limit]}), "large.tgz": packed(t, map[string]string{"a": large[:2*limit]}),
	})
	for _, tt := range []struct {
		key  string
		size int64 // that the store has said; 0 is the right one
		more bool  // a higher limit helps
		want string
	}{
		{"lies.py", 1 << 10, false, `the store sends more of object "lies.py" than the 1024 bytes that it says it has`},
		{"large.py", 0, true, "the source has more than 1048576 bytes (1 MiB)"},
		{"large.zip", 0, true, "the source has more than 1048576 bytes (1 MiB)"},
		{"large.tgz", 0, true, "the source has more than 1048576 bytes (1 MiB)"},
		{"prefix/", 0, true, "the source has more than"},
	} {
		t.Run(tt.key, func(t *testing.T) {
			resolved, err := Resolve(t.Context(), s.request("code", tt.key), nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.size != 0 {
				resolved.Size = tt.size
			}
			err = Fetch(t.Context(), resolved, nil, t.TempDir(), limit)
			refused(t, err, ReasonTooLarge, tt.want)
			if OverLimit(err) != tt.more {
				t.Errorf("OverLimit = %v, want %v", !tt.more, tt.more)
			}
			if !tt.more {
				return
			}
			if err := Fetch(t.Context(), resolved, nil, t.TempDir(), MaxBytes); err != nil {
				t.Errorf("with a higher limit: %v", err)
			}
		})
	}
}

// TestZipDirectory: entries are counted before any of them is opened.
func TestZipDirectory(t *testing.T) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for i := range MaxFiles + 1 {
		if _, err := z.Create(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	files, dir := unpacking(t, MaxBytes)
	refused(t, files.unzip(bytes.NewReader(out.Bytes()), int64(out.Len())), ReasonTooLarge, "more than 10000 files and folders")
	if n := entries(t, dir); n > 0 {
		t.Errorf("%d files and folders were made", n)
	}
}

// What unpacking any input of a fuzz target may take.
const (
	fuzzLimit  = 1 << 20
	fuzzTime   = 10 * time.Second
	fuzzMemory = 128 << 20
)

// within calls f and fails if it takes more than that, or makes more than is allowed.
func within(t *testing.T, f func(*tree) error) {
	t.Helper()
	files, dir := unpacking(t, fuzzLimit)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	err := f(files)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if took > fuzzTime {
		t.Errorf("it takes %s", took)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > fuzzMemory {
		t.Errorf("it takes %d bytes of memory", n)
	}
	if n := entries(t, dir); n > MaxFiles {
		t.Errorf("it makes %d files and folders", n)
	}
	var size int64
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&^0o755 != 0 {
			t.Errorf("%s is %v, %v", name, info.Mode(), err)
			return err
		}
		size += info.Size()
		return nil
	})
	if size > fuzzLimit {
		t.Errorf("it makes %d bytes", size)
	}
	var invalid *InvalidError
	if err != nil && !errors.As(err, &invalid) {
		t.Errorf("error %v is not the source's", err)
	}
}

func FuzzTar(f *testing.F) {
	t := &testing.T{}
	f.Add(plainTar(t, map[string]string{"main.py": "x", "lib/a.py": "y"}))
	f.Add([]byte("no tar"))
	f.Fuzz(func(t *testing.T, data []byte) {
		within(t, func(files *tree) error { return files.untar(bytes.NewReader(data)) })
	})
}

func FuzzTarGzip(f *testing.F) {
	t := &testing.T{}
	f.Add(archive(t, tar.Header{Name: "a/b", Typeflag: tar.TypeReg, Size: 10}, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/"}))
	f.Add(archive(t, tar.Header{Name: deep("d", 40) + "/f", Typeflag: tar.TypeReg}, tar.Header{Name: strings.Repeat("n/", 600) + "f", Typeflag: tar.TypeReg}))
	f.Fuzz(func(t *testing.T, data []byte) {
		within(t, func(files *tree) error { return files.gunzip(bytes.NewReader(data)) })
	})
}

func FuzzZip(f *testing.F) {
	t := &testing.T{}
	f.Add([]byte(zipped(t, map[string]string{"main.py": "x", "lib/a.py": strings.Repeat("y", 1000), "d/": ""})))
	f.Add([]byte(zipped(t, map[string]string{`..\evil`: "x"})))
	f.Fuzz(func(t *testing.T, data []byte) {
		within(t, func(files *tree) error {
			files.packed = int64(len(data))
			return files.unzip(bytes.NewReader(data), int64(len(data)))
		})
	})
}
