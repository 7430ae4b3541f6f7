package tree

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

const (
	blockBytes = 512
	copyBytes  = 1 << 20
)

// TooLargeError: a folder has more than may be packed.
type TooLargeError struct {
	Name      string
	SizeBytes int64
	MaxBytes  int64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("with %q the tar has %d bytes, at most %d are allowed", e.Name, e.SizeBytes, e.MaxBytes)
}

type inode struct {
	dev, ino uint64
}

// packer writes a tar of a folder, entry by entry in the order of the names.
type packer struct {
	out     io.Writer
	written int64
	// Negative: no bound.
	maxBytes int64
	dev      uint64
	// Names under which files with several names were packed.
	linked map[inode]string
	buffer []byte
	// Folders of an upper layer below which nothing of the image is visible; nil: it is no upper layer.
	covered map[string]bool
}

// PackFolder writes a tar of a folder with all that is in it, but not what is mounted there. maxBytes bounds the tar;
// negative: it is not bounded. Sockets are left out: CRIU binds them again. Returns a TooLargeError.
func PackFolder(out io.Writer, folder string, maxBytes int64) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	p := newPacker(out, maxBytes)
	if err := p.packRoot(root, true); err != nil {
		return err
	}
	return p.end()
}

// PackChanges writes a tar of the upper folder of an overlay, with what is gone from the image as whiteouts. `merged` is
// the mounted overlay. Only a process with CAP_SYS_ADMIN can read which folders are opaque, so that is found out by
// comparing both: a folder below which nothing of the image is visible is written as opaque, which has the same effect.
func PackChanges(out io.Writer, upper, merged string) error {
	root, err := os.OpenRoot(upper)
	if err != nil {
		return err
	}
	defer root.Close()
	visible, err := os.OpenRoot(merged)
	if err != nil {
		return err
	}
	defer visible.Close()
	p := newPacker(out, -1)
	p.covered = map[string]bool{}
	if _, err := p.findCovered(root, visible, "."); err != nil {
		return err
	}
	if err := p.packRoot(root, false); err != nil {
		return err
	}
	return p.end()
}

func newPacker(out io.Writer, maxBytes int64) *packer {
	return &packer{out: out, maxBytes: maxBytes, linked: map[inode]string{}, buffer: make([]byte, copyBytes)}
}

// findCovered tells whether nothing of the image is visible in a folder of the upper layer, and in those below it.
func (p *packer) findCovered(upper, merged *os.Root, at string) (bool, error) {
	names, err := namesOf(upper)
	if err != nil {
		return false, fmt.Errorf("%q: %w", at, err)
	}
	visible, err := namesOf(merged)
	if err != nil {
		return false, fmt.Errorf("%q of the mounted overlay: %w", at, err)
	}
	own := make(map[string]bool, len(names))
	covered := true
	for _, name := range names {
		info, err := upper.Lstat(name)
		if err != nil {
			return false, fmt.Errorf("%q: %w", path.Join(at, name), err)
		}
		if isWhiteout(info) {
			continue
		}
		own[name] = true
		if !info.IsDir() {
			continue
		}
		below, err := p.findCoveredBelow(upper, merged, name, path.Join(at, name))
		if err != nil {
			return false, err
		}
		covered = covered && below
	}
	for _, name := range visible {
		covered = covered && own[name]
	}
	p.covered[at] = covered
	return covered, nil
}

func (p *packer) findCoveredBelow(upper, merged *os.Root, name, at string) (bool, error) {
	folder, err := upper.OpenRoot(name)
	if err != nil {
		return false, fmt.Errorf("%q: %w", at, err)
	}
	defer folder.Close()
	visible, err := merged.OpenRoot(name)
	if err != nil {
		return false, fmt.Errorf("%q of the mounted overlay: %w", at, err)
	}
	defer visible.Close()
	return p.findCovered(folder, visible, at)
}

func (p *packer) packRoot(root *os.Root, withItself bool) error {
	info, err := root.Stat(".")
	if err != nil {
		return err
	}
	p.dev = uint64(statOf(info).Dev)
	if withItself {
		if err := p.packFolderEntry(root, ".", info); err != nil {
			return err
		}
	}
	return p.packBelow(root, ".", false)
}

// packBelow packs what is in a folder. `isCovered`: a mark for it or for a folder above was written.
func (p *packer) packBelow(folder *os.Root, at string, isCovered bool) error {
	names, err := namesOf(folder)
	if err != nil {
		return fmt.Errorf("%q: %w", at, err)
	}
	for _, name := range names {
		full := path.Join(at, name)
		info, err := folder.Lstat(name)
		if err == nil {
			err = p.pack(folder, name, full, info, isCovered)
		}
		if err != nil {
			var named *nameError
			if errors.As(err, &named) {
				return err
			}
			// A volume may be shared with a container that runs on.
			if p.covered == nil && errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return &nameError{full, err}
		}
	}
	return nil
}

type nameError struct {
	name string
	err  error
}

func (e *nameError) Error() string { return fmt.Sprintf("%q: %v", e.name, e.err) }
func (e *nameError) Unwrap() error { return e.err }

func (p *packer) pack(folder *os.Root, name, full string, info fs.FileInfo, isCovered bool) error {
	isLayer := p.covered != nil
	if isLayer && isWhiteout(info) {
		if isCovered {
			return nil
		}
		return p.header(&tar.Header{Typeflag: tar.TypeReg, Name: path.Join(path.Dir(full), whiteout+name), ModTime: info.ModTime()})
	}
	if isLayer && strings.HasPrefix(name, whiteout) {
		return errors.New("its name is that of a mark of deleted files, which no archive of a container's files can hold")
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		return p.packFolder(folder, name, full, info, isCovered)
	case fs.ModeSocket:
		return nil
	case fs.ModeSymlink:
		target, err := folder.Readlink(name)
		if err != nil {
			return err
		}
		return p.header(headerOf(full, info, tar.TypeSymlink, target))
	case fs.ModeNamedPipe:
		return p.header(headerOf(full, info, tar.TypeFifo, ""))
	case fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
		return p.packDevice(full, info)
	case 0:
		return p.packFile(folder, name, full, info)
	}
	return fmt.Errorf("is of type %v, which no archive holds", info.Mode().Type())
}

func (p *packer) packFolder(parent *os.Root, name, full string, info fs.FileInfo, isCovered bool) error {
	folder, err := parent.OpenRoot(name)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := p.packFolderEntry(folder, full, info); err != nil {
		return err
	}
	if uint64(statOf(info).Dev) != p.dev {
		return nil
	}
	if p.covered[full] && !isCovered {
		mark := &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(full, opaque), ModTime: info.ModTime()}
		if err := p.header(mark); err != nil {
			return err
		}
		isCovered = true
	}
	return p.packBelow(folder, full, isCovered)
}

func (p *packer) packFolderEntry(folder *os.Root, full string, info fs.FileInfo) error {
	header := headerOf(full+"/", info, tar.TypeDir, "")
	opened, err := folder.Open(".")
	if err != nil {
		return err
	}
	defer opened.Close()
	if err := addAttributes(opened, header); err != nil {
		return err
	}
	return p.header(header)
}

func (p *packer) packDevice(full string, info fs.FileInfo) error {
	kind := byte(tar.TypeBlock)
	if info.Mode()&fs.ModeCharDevice != 0 {
		kind = tar.TypeChar
	}
	header := headerOf(full, info, kind, "")
	device := statOf(info).Rdev
	header.Devmajor = int64((device>>8)&0xfff | (device>>32)&^0xfff)
	header.Devminor = int64(device&0xff | (device>>12)&^0xff)
	return p.header(header)
}

func (p *packer) packFile(folder *os.Root, name, full string, info fs.FileInfo) error {
	stat := statOf(info)
	self := inode{uint64(stat.Dev), stat.Ino}
	if stat.Nlink > 1 {
		if first, has := p.linked[self]; has {
			return p.header(headerOf(full, info, tar.TypeLink, first))
		}
	}
	// Neither follows what was put there since, nor waits for it.
	file, err := folder.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	opened, err := file.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(info, opened) {
		return errChanged
	}
	header := headerOf(full, opened, tar.TypeReg, "")
	header.Size = opened.Size()
	if err := addAttributes(file, header); err != nil {
		return err
	}
	if err := p.header(header); err != nil {
		return err
	}
	if stat.Nlink > 1 {
		p.linked[self] = full
	}
	return p.content(file, full, header.Size)
}

var errChanged = errors.New("was changed while it was read")

// content writes a file of which the size is in the archive already; of holes nothing is read.
func (p *packer) content(file *os.File, full string, size int64) error {
	if p.maxBytes >= 0 && size > p.maxBytes-p.written {
		return &TooLargeError{full, p.written + size, p.maxBytes}
	}
	for at := int64(0); at < size; {
		data, end, err := nextData(file, at, size)
		if err != nil {
			return err
		}
		if err := p.zeros(data - at); err != nil {
			return err
		}
		for at = data; at < end; {
			n, err := file.ReadAt(p.buffer[:min(copyBytes, end-at)], at)
			if n == 0 {
				if errors.Is(err, io.EOF) {
					return errChanged
				}
				return err
			}
			if err := p.write(p.buffer[:n]); err != nil {
				return err
			}
			at += int64(n)
		}
	}
	return p.zeros((blockBytes - size%blockBytes) % blockBytes)
}

const (
	seekData = 3
	seekHole = 4
)

// nextData gives the next part of a file that is no hole; empty and at the end: there is none.
func nextData(file *os.File, at, size int64) (start, end int64, err error) {
	start, err = file.Seek(at, seekData)
	if errors.Is(err, syscall.ENXIO) {
		return size, size, nil
	}
	if err != nil {
		return 0, 0, err
	}
	end, err = file.Seek(start, seekHole)
	return min(start, size), min(end, size), err
}

// header writes what stands before the content of an entry.
func (p *packer) header(header *tar.Header) error {
	header.Format = tar.FormatPAX
	var text bytes.Buffer
	if err := tar.NewWriter(&text).WriteHeader(header); err != nil {
		return err
	}
	if size := int64(text.Len()); p.maxBytes >= 0 && size > p.maxBytes-p.written {
		return &TooLargeError{header.Name, p.written + size, p.maxBytes}
	}
	return p.write(text.Bytes())
}

func (p *packer) end() error {
	return p.zeros(2 * blockBytes)
}

var noData = make([]byte, copyBytes)

func (p *packer) zeros(count int64) error {
	for count > 0 {
		n := min(count, copyBytes)
		if err := p.write(noData[:n]); err != nil {
			return err
		}
		count -= n
	}
	return nil
}

func (p *packer) write(part []byte) error {
	n, err := p.out.Write(part)
	p.written += int64(n)
	return err
}

func headerOf(name string, info fs.FileInfo, kind byte, target string) *tar.Header {
	stat := statOf(info)
	return &tar.Header{
		Typeflag: kind,
		Name:     name,
		Linkname: target,
		Mode:     int64(stat.Mode & 0o7777),
		Uid:      int(stat.Uid),
		Gid:      int(stat.Gid),
		ModTime:  info.ModTime(),
	}
}

// isWhiteout: https://docs.kernel.org/filesystems/overlayfs.html#whiteouts-and-opaque-directories.
func isWhiteout(info fs.FileInfo) bool {
	return info.Mode()&fs.ModeCharDevice != 0 && statOf(info).Rdev == 0
}

func statOf(info fs.FileInfo) *syscall.Stat_t {
	return info.Sys().(*syscall.Stat_t)
}

// namesOf gives the names in a folder in order.
func namesOf(folder *os.Root) ([]string, error) {
	opened, err := folder.Open(".")
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	names, err := opened.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}
