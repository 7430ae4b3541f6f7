package tree

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// layers are an image of two layers, a container's overlay over it, and a second one as a restore gets it.
type layers struct {
	t                       *testing.T
	dir, upper, merged, new string
}

func newLayers(t *testing.T, image func(lowest, highest string)) layers {
	t.Helper()
	l := layers{t: t, dir: t.TempDir()}
	must(t, syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	// An upper folder may not lie on an overlay, as the folder of the tests may.
	must(t, syscall.Mount("tmpfs", l.dir, "tmpfs", 0, ""))
	t.Cleanup(func() { syscall.Unmount(l.dir, syscall.MNT_DETACH) })
	lower := []string{l.folder("highest"), l.folder("lowest")}
	image(lower[1], lower[0])
	l.upper, l.merged = l.overlay("container", lower)
	_, l.new = l.overlay("restored", lower)
	return l
}

func (l layers) folder(name string) string {
	path := filepath.Join(l.dir, name)
	must(l.t, os.MkdirAll(path, 0o755))
	return path
}

func (l layers) overlay(name string, lower []string) (upper, merged string) {
	upper, work, merged := l.folder(name+"/upper"), l.folder(name+"/work"), l.folder(name+"/merged")
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,index=off", strings.Join(lower, ":"), upper, work)
	if err := syscall.Mount("overlay", merged, "overlay", 0, options); err != nil {
		must(l.t, syscall.Mount("overlay", merged, "overlay", 0, options+",userxattr"))
	}
	l.t.Cleanup(func() { syscall.Unmount(merged, syscall.MNT_DETACH) })
	return upper, merged
}

// packed is the tar of what the container changed; taken twice, to be the same.
func (l layers) packed() []byte {
	l.t.Helper()
	var first, second bytes.Buffer
	must(l.t, PackChanges(&first, l.upper, l.merged))
	must(l.t, PackChanges(&second, l.upper, l.merged))
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		l.t.Error("the same folder was packed in two ways")
	}
	return first.Bytes()
}

func unpackOver(t *testing.T, folder string, archive []byte, literal bool) {
	t.Helper()
	root, err := os.OpenRoot(folder)
	must(t, err)
	defer root.Close()
	unpacker := Unpacker{Root: root, Literal: literal}
	must(t, unpacker.Unpack(bytes.NewReader(archive)))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// described tells everything of a tree that a container can see, but not the times of links.
func described(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	first := map[uint64]string{}
	must(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		stat := statOf(info)
		name, _ := filepath.Rel(folder, path)
		text := fmt.Sprintf("%v %d:%d", info.Mode(), stat.Uid, stat.Gid)
		switch info.Mode().Type() {
		case fs.ModeSymlink:
			target, _ := os.Readlink(path)
			text += " to " + target
		case 0:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %d %x %s", info.ModTime().UnixNano(), len(content), content[:min(len(content), 64)])
			if name0, has := first[stat.Ino]; has && stat.Nlink > 1 {
				text += " is " + name0
			}
			first[stat.Ino] = name
			for _, attribute := range []string{"user.note", "security.capability"} {
				value := make([]byte, 64)
				if n, err := syscall.Getxattr(path, attribute, value); err == nil {
					text += fmt.Sprintf(" %s=%x", attribute, value[:n])
				}
			}
		default:
			text += fmt.Sprintf(" %d %d", info.ModTime().UnixNano(), stat.Rdev)
		}
		found[name] = text
		return nil
	}))
	return found
}

func compare(t *testing.T, was, is map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if is[name] != was[name] {
			t.Errorf("%s was %q, is %q", name, was[name], is[name])
		}
	}
	for name := range is {
		if _, has := was[name]; !has {
			t.Errorf("%s is new", name)
		}
	}
}

// compareLayers leaves the root out, which is in no archive of a container's files.
func compareLayers(t *testing.T, l layers) {
	t.Helper()
	was, is := described(t, l.merged), described(t, l.new)
	delete(was, ".")
	delete(is, ".")
	compare(t, was, is)
}

func namesIn(t *testing.T, archive []byte) []string {
	t.Helper()
	names := []string{}
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		must(t, err)
		names = append(names, header.Name)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

func someImage(t *testing.T) func(lowest, highest string) {
	return func(lowest, highest string) {
		write(t, filepath.Join(lowest, "etc/passwd"), "image")
		write(t, filepath.Join(lowest, "etc/conf/deep/a"), "image")
		write(t, filepath.Join(highest, "etc/conf/b"), "image")
		write(t, filepath.Join(lowest, "data/old"), "image")
		write(t, filepath.Join(lowest, "data/kept"), "image")
		write(t, filepath.Join(lowest, "gone/x"), "image")
		must(t, os.Symlink("etc", filepath.Join(lowest, "link")))
	}
}

func TestChangesAreTheSameWhenUnpacked(t *testing.T) {
	l := newLayers(t, someImage(t))
	at := func(name string) string { return filepath.Join(l.merged, name) }
	must(t, os.RemoveAll(at("gone")))
	must(t, os.RemoveAll(at("etc/conf")))
	write(t, at("etc/conf/new"), "made")
	must(t, os.Remove(at("data/old")))
	must(t, os.Symlink("/nowhere", at("data/link")))
	must(t, os.Remove(at("link")))
	must(t, os.Mkdir(at("link"), 0o3751))
	must(t, os.Chmod(at("link"), fs.ModeSticky|fs.ModeSetgid|0o751))
	must(t, syscall.Mkfifo(at("link/pipe"), 0o620))
	write(t, at("one"), "twice")
	must(t, os.Link(at("one"), at("data/other")))
	must(t, os.Chmod(at("one"), fs.ModeSetuid|0o711))
	sparse, err := os.Create(at("sparse"))
	must(t, err)
	_, err = sparse.WriteAt([]byte("data"), 5<<20)
	must(t, err)
	must(t, sparse.Truncate(9<<20))
	must(t, sparse.Close())
	must(t, os.Chtimes(at("sparse"), time.Unix(5, 7), time.Unix(5, 7)))
	archive := l.packed()
	unpackOver(t, l.new, archive, false)
	compareLayers(t, l)
	names := namesIn(t, archive)
	for _, name := range []string{".wh.gone", "etc/conf/.wh..wh..opq", "data/.wh.old"} {
		if !slices.Contains(names, name) {
			t.Errorf("no %s is in %q", name, names)
		}
	}
	for _, name := range []string{"etc/passwd", "etc/conf/b", "etc/.wh..wh..opq"} {
		if slices.Contains(names, name) {
			t.Errorf("%s is in %q", name, names)
		}
	}
}

func TestRandomChangesAreTheSameWhenUnpacked(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 11))
			l := newLayers(t, func(lowest, highest string) {
				for range 20 {
					change(t, random, lowest)
					change(t, random, highest)
				}
			})
			for range 30 {
				change(t, random, l.merged)
			}
			unpackOver(t, l.new, l.packed(), false)
			compareLayers(t, l)
		})
	}
}

func TestRandomFoldersAreTheSameWhenUnpacked(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 12))
		from, to := t.TempDir(), t.TempDir()
		for range 60 {
			change(t, random, from)
		}
		var archive bytes.Buffer
		must(t, PackFolder(&archive, from, -1))
		unpackOver(t, to, archive.Bytes(), true)
		compare(t, described(t, from), described(t, to))
	}
}

// change does something that a process may do with files; what is not possible there is left.
func change(t *testing.T, random *rand.Rand, root string) {
	t.Helper()
	name := func() string {
		parts := []string{root}
		for range 1 + random.IntN(3) {
			parts = append(parts, string("abcd"[random.IntN(4)]))
		}
		if random.IntN(12) == 0 {
			parts = append(parts, strings.Repeat("long\xff", 40))
		}
		return filepath.Join(parts...)
	}
	path := name()
	// Looked up below a pipe, a name is waited for.
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return
	}
	switch random.IntN(10) {
	case 0, 1:
		os.RemoveAll(path)
	case 2, 3:
		os.MkdirAll(path, fs.FileMode(0o700|random.IntN(0o100)))
	case 4:
		os.RemoveAll(path)
		os.Mkdir(path, 0o755)
	case 5:
		os.Symlink(string("abcd"[random.IntN(4)]), path)
	case 6:
		os.Link(path, name())
	case 7:
		os.Chmod(path, fs.FileMode(0o700|random.IntN(0o100)))
	case 8:
		syscall.Mkfifo(path, 0o640)
	default:
		if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
			return
		}
		os.WriteFile(path, bytes.Repeat([]byte{byte(random.IntN(3))}, random.IntN(2000)), 0o600)
	}
}

func TestASmallBoundIsKept(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "a"), strings.Repeat("x", 10_000))
	write(t, filepath.Join(folder, "b"), strings.Repeat("x", 10_000))
	var whole bytes.Buffer
	must(t, PackFolder(&whole, folder, -1))
	for _, bound := range []int64{0, 100, 9_000, 13_000, 20_000} {
		var some bytes.Buffer
		err := PackFolder(&some, folder, bound)
		var tooLarge *TooLargeError
		if !errors.As(err, &tooLarge) || tooLarge.MaxBytes != bound || tooLarge.SizeBytes <= bound {
			t.Errorf("with a bound of %d it ends with %v", bound, err)
		}
		if int64(some.Len()) > bound {
			t.Errorf("with a bound of %d there are %d bytes", bound, some.Len())
		}
	}
	must(t, PackFolder(io.Discard, folder, int64(whole.Len())))
}

func TestAttributesTravel(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	write(t, filepath.Join(from, "file"), "x")
	must(t, syscall.Setxattr(filepath.Join(from, "file"), "user.note", []byte("a\x00b"), 0))
	var archive bytes.Buffer
	must(t, PackFolder(&archive, from, -1))
	unpackOver(t, to, archive.Bytes(), true)
	value := make([]byte, 8)
	n, err := syscall.Getxattr(filepath.Join(to, "file"), "user.note", value)
	if err != nil || string(value[:n]) != "a\x00b" {
		t.Errorf("the note is %q (%v)", value[:max(n, 0)], err)
	}
}

func TestNamesOfMarksAreLiteralInVolumesAndRefusedInLayers(t *testing.T) {
	l := newLayers(t, someImage(t))
	write(t, filepath.Join(l.merged, "data/.wh.old"), "mine")
	if err := PackChanges(io.Discard, l.upper, l.merged); err == nil || !strings.Contains(err.Error(), "data/.wh.old") {
		t.Errorf("it ends with %v", err)
	}
	var archive bytes.Buffer
	must(t, PackFolder(&archive, filepath.Join(l.upper, "data"), -1))
	folder := t.TempDir()
	write(t, filepath.Join(folder, "old"), "kept")
	unpackOver(t, folder, archive.Bytes(), true)
	if content, err := os.ReadFile(filepath.Join(folder, ".wh.old")); string(content) != "mine" {
		t.Errorf("the file has %q (%v)", content, err)
	}
	if _, err := os.Stat(filepath.Join(folder, "old")); err != nil {
		t.Error(err)
	}
}

func TestSocketsAndOtherMountsStay(t *testing.T) {
	l := newLayers(t, someImage(t))
	folder := l.folder("volume")
	must(t, os.Mkdir(filepath.Join(folder, "mounted"), 0o755))
	must(t, syscall.Mount("tmpfs", filepath.Join(folder, "mounted"), "tmpfs", 0, ""))
	t.Cleanup(func() { syscall.Unmount(filepath.Join(folder, "mounted"), syscall.MNT_DETACH) })
	write(t, filepath.Join(folder, "mounted/secret"), "x")
	descriptor, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	must(t, err)
	defer syscall.Close(descriptor)
	must(t, syscall.Bind(descriptor, &syscall.SockaddrUnix{Name: filepath.Join(folder, "socket")}))
	var archive bytes.Buffer
	must(t, PackFolder(&archive, folder, -1))
	if names := namesIn(t, archive.Bytes()); !slices.Equal(names, []string{"./", "mounted/"}) {
		t.Errorf("it has %q", names)
	}
}

func TestUpperOfAnOverlay(t *testing.T) {
	l := newLayers(t, someImage(t))
	if upper, err := UpperOf(l.merged); err != nil || upper != l.upper {
		t.Errorf("it is %q (%v)", upper, err)
	}
	for _, folder := range []string{l.dir, l.upper, "/nowhere"} {
		if _, err := UpperOf(folder); !errors.Is(err, ErrUnsuited) {
			t.Errorf("%s ends with %v", folder, err)
		}
	}
	for line, upper := range map[string]string{
		`36 35 98:0 / /mnt\040a rw,noatime shared:1 - overlay overlay rw,lowerdir=/l,upperdir=/u\040x,workdir=/w`: "/u x",
		`36 35 98:0 / /mnt\040a rw - overlay overlay rw,lowerdir=/l`:                                              "",
	} {
		at, options, isOverlay := readMount(line)
		if at != "/mnt a" || options["upperdir"] != upper || !isOverlay {
			t.Errorf("%s is read as %q %q %v", line, at, options, isOverlay)
		}
	}
	for _, name := range []string{"redirect_dir", "metacopy"} {
		if !isOn(map[string]string{name: "on"}, name) || isOn(map[string]string{name: "off"}, name) {
			t.Errorf("%s is not read", name)
		}
	}
}
