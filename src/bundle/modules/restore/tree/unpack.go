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
	"path/filepath"
	"strings"
	"syscall"
)

// Device is a device node: 'c' or 'b', and its numbers.
type Device struct {
	Kind         byte
	Major, Minor int64
}

// Unpacker unpacks a tar over a folder. No path of it leads out: os.Root sees to that.
type Unpacker struct {
	Root *os.Root
	// Devices that may be made.
	Devices map[Device]bool
	// Literal: names of whiteouts are names of files like others, as in the tar of a volume.
	Literal bool
	// Folders get their times last: what is put into them changes these.
	folders []*tar.Header
}

// Unpack reads the archive from its beginning.
func (c *Unpacker) Unpack(file io.ReadSeeker) error {
	// What is gone from the image goes first, so that it does not take away what was put in its place.
	if !c.Literal {
		if err := c.each(file, c.remove); err != nil {
			return err
		}
	}
	if err := c.each(file, c.put); err != nil {
		return err
	}
	for _, folder := range c.folders {
		if err := c.Root.Chtimes(folder.Name, folder.ModTime, folder.ModTime); err != nil {
			return err
		}
	}
	return nil
}

func (c *Unpacker) each(file io.ReadSeeker, use func(*tar.Header, io.Reader) error) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	reader := tar.NewReader(file)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		name := header.Name
		if header.Name, err = inside(name); err != nil {
			return err
		}
		if err := use(header, reader); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
}

// inside gives the clean form of a path below the root.
func inside(name string) (string, error) {
	clean := path.Clean(name)
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("%q leads out of the container", name)
		}
	}
	if !filepath.IsLocal(clean) {
		return "", fmt.Errorf("%q leads out of the container", name)
	}
	return clean, nil
}

var errLink = errors.New("a folder on its way is none")

// checkFolder wants real folders on the way, as an archive of an overlay names them: no link of the image is followed.
func (c *Unpacker) checkFolder(folder string) error {
	if folder == "." {
		return nil
	}
	if err := c.checkFolder(path.Dir(folder)); err != nil {
		return err
	}
	found, err := c.Root.Lstat(folder)
	if err == nil && !found.IsDir() {
		return errLink
	}
	return err
}

// remove does what a whiteout says.
func (c *Unpacker) remove(header *tar.Header, _ io.Reader) error {
	folder, base := path.Split(header.Name)
	folder = path.Clean(folder)
	if !strings.HasPrefix(base, whiteout) {
		return nil
	}
	// The image has no such folder, so there is nothing of it to take away.
	if err := c.checkFolder(folder); errors.Is(err, fs.ErrNotExist) || errors.Is(err, errLink) {
		return nil
	} else if err != nil {
		return err
	}
	if base == opaque {
		return c.empty(folder)
	}
	// Overlay's other marks are about itself.
	if strings.HasPrefix(base, whiteout+whiteout) {
		return nil
	}
	gone := strings.TrimPrefix(base, whiteout)
	if gone == "" || gone == "." || gone == ".." {
		return errors.New("is no mark of a file")
	}
	return c.Root.RemoveAll(path.Join(folder, gone))
}

func (c *Unpacker) empty(folder string) error {
	opened, err := c.Root.Open(folder)
	if err != nil {
		return err
	}
	defer opened.Close()
	names, err := opened.Readdirnames(-1)
	for _, name := range names {
		err = errors.Join(err, c.Root.RemoveAll(path.Join(folder, name)))
	}
	return err
}

// RemoveDeleted removes a file or folder that the container had deleted; one that is not there is no error.
func (c *Unpacker) RemoveDeleted(name string) error {
	clean, err := inside(name)
	if err != nil || clean == "." {
		return fmt.Errorf("%q is no file of the container", name)
	}
	err = c.checkFolder(path.Dir(clean))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	return c.Root.RemoveAll(clean)
}

// put makes what an entry describes, in place of what is there.
func (c *Unpacker) put(header *tar.Header, content io.Reader) error {
	name := header.Name
	if !c.Literal && strings.HasPrefix(path.Base(name), whiteout) {
		return nil
	}
	folder := path.Dir(name)
	if err := c.checkFolder(folder); errors.Is(err, fs.ErrNotExist) {
		err = c.Root.MkdirAll(folder, 0o755)
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if header.Typeflag == tar.TypeDir {
		return c.putFolder(header)
	}
	if name == "." {
		return errors.New("is no folder")
	}
	if err := c.Root.RemoveAll(name); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeReg:
		return c.putFile(header, content)
	case tar.TypeSymlink:
		// Its times are left: nothing looks at them.
		if err := c.Root.Symlink(header.Linkname, name); err != nil {
			return err
		}
		return c.Root.Lchown(name, header.Uid, header.Gid)
	case tar.TypeLink:
		target, err := inside(header.Linkname)
		if err != nil {
			return err
		}
		if err := c.checkFolder(path.Dir(target)); err != nil {
			return err
		}
		return c.Root.Link(target, name)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return c.putNode(header)
	}
	return fmt.Errorf("is of type %q, which no container's files have", header.Typeflag)
}

func (c *Unpacker) putFolder(header *tar.Header) error {
	name := header.Name
	found, err := c.Root.Lstat(name)
	if err == nil && !found.IsDir() {
		if err = c.Root.RemoveAll(name); err == nil {
			err = fs.ErrNotExist
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = c.Root.Mkdir(name, 0o700)
	}
	if err != nil {
		return err
	}
	c.folders = append(c.folders, header)
	if err := c.own(header); err != nil {
		return err
	}
	if !hasAttributes(header) {
		return nil
	}
	opened, err := c.Root.Open(name)
	if err != nil {
		return err
	}
	defer opened.Close()
	return setAttributes(opened, header)
}

func (c *Unpacker) putFile(header *tar.Header, content io.Reader) error {
	file, err := c.Root.OpenFile(header.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := copySparse(file, content, header.Size); err != nil {
		return err
	}
	if err := c.own(header); err != nil {
		return err
	}
	// After the owner, whose change takes capabilities away.
	if err := setAttributes(file, header); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return c.Root.Chtimes(header.Name, header.ModTime, header.ModTime)
}

// copySparse leaves runs of zeros out: what was a hole is one again.
func copySparse(file *os.File, content io.Reader, size int64) error {
	const block = 64 << 10
	buffer, zeros := make([]byte, block), make([]byte, block)
	at := int64(0)
	for {
		n, err := io.ReadFull(content, buffer)
		if n > 0 && !bytes.Equal(buffer[:n], zeros[:n]) {
			if _, failed := file.WriteAt(buffer[:n], at); failed != nil {
				return failed
			}
		}
		at += int64(n)
		if at == size {
			return file.Truncate(size)
		}
		if err != nil {
			return err
		}
	}
}

// putNode makes a pipe, or a device that the container has anyway.
func (c *Unpacker) putNode(header *tar.Header) error {
	mode, number := uint32(syscall.S_IFIFO), 0
	if header.Typeflag != tar.TypeFifo {
		wanted := Device{'c', header.Devmajor, header.Devminor}
		mode = syscall.S_IFCHR
		if header.Typeflag == tar.TypeBlock {
			wanted.Kind, mode = 'b', syscall.S_IFBLK
		}
		if !c.Devices[wanted] {
			return fmt.Errorf("device %c %d:%d is none of the container's", wanted.Kind, wanted.Major, wanted.Minor)
		}
		number = deviceNumber(wanted)
	}
	folder, err := c.Root.Open(path.Dir(header.Name))
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := syscall.Mknodat(int(folder.Fd()), path.Base(header.Name), mode|0o600, number); err != nil {
		return err
	}
	if err := c.own(header); err != nil {
		return err
	}
	return c.Root.Chtimes(header.Name, header.ModTime, header.ModTime)
}

// deviceNumber is makedev(3).
func deviceNumber(d Device) int {
	major, minor := uint64(d.Major), uint64(d.Minor)
	return int(minor&0xff | (major&0xfff)<<8 | (minor&^0xff)<<12 | (major&^0xfff)<<32)
}

func (c *Unpacker) own(header *tar.Header) error {
	if err := c.Root.Lchown(header.Name, header.Uid, header.Gid); err != nil {
		return err
	}
	// Nothing here is a link: it was made a moment ago, in folders that are none.
	return c.Root.Chmod(header.Name, header.FileInfo().Mode())
}
