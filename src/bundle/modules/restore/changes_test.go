package main

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var changedAt = time.Unix(1_700_000_000, 0)

type entry struct {
	header  tar.Header
	content string
}

func file(name, content string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o640}, content}
}

func folder(name string) entry {
	return entry{header: tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o750}}
}

func symlink(name, target string) entry {
	return entry{header: tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}}
}

func hardLink(name, target string) entry {
	return entry{header: tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}}
}

func node(kind byte, name string, major, minor int64) entry {
	return entry{header: tar.Header{Name: name, Typeflag: kind, Mode: 0o660, Devmajor: major, Devminor: minor}}
}

// container is a folder with a secret beside the root file system, as a node has.
type container struct {
	t      *testing.T
	dir    string
	rootfs string
}

func newContainer(t *testing.T) container {
	t.Helper()
	c := container{t: t, dir: t.TempDir()}
	c.rootfs = filepath.Join(c.dir, "rootfs")
	c.write("rootfs/etc/passwd", "image")
	c.write("rootfs/etc/hosts", "image")
	c.write("rootfs/data/old", "image")
	c.write("secret", "of the node")
	for name, target := range map[string]string{"abs": c.dir, "up": "..", "lib": "etc"} {
		if err := os.Symlink(target, filepath.Join(c.rootfs, name)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c container) write(name, content string) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c container) apply(deleted []string, devices string, entries ...entry) error {
	c.t.Helper()
	archive := filepath.Join(c.dir, "changes.tar")
	out, err := os.Create(archive)
	if err != nil {
		c.t.Fatal(err)
	}
	writer := tar.NewWriter(out)
	for _, e := range entries {
		header := e.header
		header.Size = int64(len(e.content))
		header.Uid, header.Gid = os.Getuid(), os.Getgid()
		header.ModTime = changedAt
		if err := writer.WriteHeader(&header); err != nil {
			c.t.Fatal(err)
		}
		if _, err := writer.Write([]byte(e.content)); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		c.t.Fatal(err)
	}
	wanted, err := readConfig([]byte(`{"linux":{"devices":[` + devices + `]}}`))
	if err != nil {
		c.t.Fatal(err)
	}
	return applyChanges(c.rootfs, wanted, answer{Changes: archive, Deleted: deleted})
}

func (c container) want(name, content string) {
	c.t.Helper()
	found, err := os.ReadFile(filepath.Join(c.rootfs, name))
	if err != nil || string(found) != content {
		c.t.Errorf("%s is %q (%v), not %q", name, found, err, content)
	}
}

func (c container) wantGone(name string) {
	c.t.Helper()
	if _, err := os.Lstat(filepath.Join(c.rootfs, name)); !os.IsNotExist(err) {
		c.t.Errorf("%s is still there (%v)", name, err)
	}
}

func (c container) wantNodeAsItWas() {
	c.t.Helper()
	secret, err := os.ReadFile(filepath.Join(c.dir, "secret"))
	if err != nil || string(secret) != "of the node" {
		c.t.Errorf("the node's file is %q (%v)", secret, err)
	}
	if found, err := os.Stat(filepath.Join(c.dir, "secret")); err != nil || found.Sys().(*syscall.Stat_t).Nlink != 1 {
		c.t.Errorf("the node's file has another name (%v)", err)
	}
	names, err := os.ReadDir(c.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, name := range names {
		if name.Name() != "secret" && name.Name() != "rootfs" && name.Name() != "changes.tar" {
			c.t.Errorf("%s was made beside the root file system", name.Name())
		}
	}
}

func TestChangesAreUnpackedOverTheImage(t *testing.T) {
	c := newContainer(t)
	err := c.apply(nil, "",
		folder("data/"), file("data/new", "changed"), file("etc/passwd", "changed"), file("deep/er/file", "made"),
		symlink("data/link", "/etc/passwd"), hardLink("data/hard", "data/new"), node(tar.TypeFifo, "data/pipe", 0, 0),
		file("abs", "in place of a link"),
	)
	if err != nil {
		t.Fatal(err)
	}
	c.want("data/new", "changed")
	c.want("data/old", "image")
	c.want("etc/passwd", "changed")
	c.want("etc/hosts", "image")
	c.want("deep/er/file", "made")
	c.want("abs", "in place of a link")
	if target, _ := os.Readlink(filepath.Join(c.rootfs, "data/link")); target != "/etc/passwd" {
		t.Errorf("the link leads to %q", target)
	}
	made, _ := os.Stat(filepath.Join(c.rootfs, "data/new"))
	linked, _ := os.Stat(filepath.Join(c.rootfs, "data/hard"))
	if !os.SameFile(made, linked) {
		t.Error("the hard link is another file")
	}
	if made.Mode() != 0o640 || !made.ModTime().Equal(changedAt) {
		t.Errorf("the file is %s of %s", made.Mode(), made.ModTime())
	}
	inFolder, _ := os.Stat(filepath.Join(c.rootfs, "data"))
	if inFolder.Mode().Perm() != 0o750 || !inFolder.ModTime().Equal(changedAt) {
		t.Errorf("the folder is %s of %s", inFolder.Mode(), inFolder.ModTime())
	}
	if pipe, _ := os.Lstat(filepath.Join(c.rootfs, "data/pipe")); pipe.Mode() != os.ModeNamedPipe|0o660 {
		t.Errorf("the pipe is %s", pipe.Mode())
	}
	c.wantNodeAsItWas()
}

func TestSetuidAndCapabilitiesAreKept(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may give capabilities to files")
	}
	c := newContainer(t)
	// Version 2, effective, CAP_NET_BIND_SERVICE: see capabilities(7).
	granted := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	program := file("bin/program", "elf")
	program.header.Mode = 0o4755
	program.header.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": granted}
	if err := c.apply(nil, "", program); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(c.rootfs, "bin/program")
	if found, _ := os.Stat(path); found.Mode() != os.ModeSetuid|0o755 {
		t.Errorf("the program is %s", found.Mode())
	}
	value := make([]byte, 64)
	size, err := syscall.Getxattr(path, "security.capability", value)
	if err != nil || string(value[:size]) != granted {
		t.Errorf("the capabilities are %q (%v)", value[:max(size, 0)], err)
	}
}

func TestWhiteoutsAndDeletedFilesGo(t *testing.T) {
	c := newContainer(t)
	err := c.apply([]string{"/etc/hosts", "never/was"}, "",
		// Behind what was put in its place, as the order in an archive may be.
		file("data/kept", "changed"), file("data/.wh..wh..opq", ""), file("etc/.wh.passwd", ""), file("none/.wh.x", ""),
	)
	if err != nil {
		t.Fatal(err)
	}
	c.wantGone("data/old")
	c.want("data/kept", "changed")
	c.wantGone("data/.wh..wh..opq")
	c.wantGone("etc/passwd")
	c.wantGone("etc/hosts")
	c.wantNodeAsItWas()
}

func TestAFolderInPlaceOfALinkIsNotTheLinksTarget(t *testing.T) {
	c := newContainer(t)
	if err := c.apply(nil, "", folder("lib"), file("lib/.wh..wh..opq", ""), file("lib/new", "made")); err != nil {
		t.Fatal(err)
	}
	c.want("lib/new", "made")
	c.want("etc/passwd", "image")
	c.wantGone("etc/new")
}

func TestNothingLeadsOut(t *testing.T) {
	for name, entries := range map[string][]entry{
		"dots":                     {file("../escaped", "x")},
		"dots inside":              {file("etc/../../escaped", "x")},
		"absolute":                 {file("/escaped", "x")},
		"link of the image":        {file("abs/escaped", "x")},
		"link upwards":             {file("up/escaped", "x")},
		"own link":                 {symlink("way", ".."), file("way/escaped", "x")},
		"own absolute link":        {symlink("way", os.TempDir()), file("way/escaped", "x")},
		"link over a folder":       {symlink("data", "/"), file("data/escaped", "x")},
		"hard link out":            {hardLink("mine", "../secret"), file("mine", "x")},
		"hard link absolute":       {hardLink("mine", "/secret")},
		"hard link through a link": {hardLink("mine", "up/secret")},
		"hard link own link":       {symlink("way", ".."), hardLink("mine", "way/secret")},
		"whiteout of dots":         {file("etc/.wh...", "")},
		"whiteout of nothing":      {file("etc/.wh.", "")},
		"whiteout out":             {file("../.wh.secret", "")},
		"root as a file":           {file(".", "x")},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t)
			err := c.apply(nil, "", entries...)
			if err == nil {
				t.Error("it was taken")
			}
			c.wantNodeAsItWas()
		})
	}
}

func TestWhiteoutsThroughLinksTakeNothingAway(t *testing.T) {
	c := newContainer(t)
	err := c.apply(nil, "", file("up/.wh.secret", ""), file("abs/.wh..wh..opq", ""), file("lib/.wh.passwd", ""))
	if err != nil {
		t.Fatal(err)
	}
	c.want("etc/passwd", "image")
	c.wantNodeAsItWas()
}

func TestDeletedNamesThatLeadOutAreRefused(t *testing.T) {
	for _, name := range []string{"/", "", ".", "../secret", "/etc/../../secret", "up/secret", "abs/secret"} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t)
			if c.apply([]string{name}, "") == nil {
				t.Error("it was taken")
			}
			c.wantNodeAsItWas()
		})
	}
}

func TestOnlyTheContainersOwnDevicesAreMade(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may make devices")
	}
	listed := `{"type":"c","path":"/dev/fuse","major":10,"minor":229}`
	for _, example := range []struct {
		entry entry
		taken bool
	}{
		{node(tar.TypeChar, "null", 1, 3), true},
		{node(tar.TypeChar, "fuse", 10, 229), true},
		{node(tar.TypeChar, "mem", 1, 1), false},
		{node(tar.TypeBlock, "null", 1, 3), false},
		{node(tar.TypeBlock, "disk", 8, 0), false},
	} {
		c := newContainer(t)
		err := c.apply(nil, listed, example.entry)
		if example.taken != (err == nil) {
			t.Errorf("%s: %v", example.entry.header.Name, err)
		}
		if err != nil && !strings.Contains(err.Error(), "is none of the container's") {
			t.Errorf("%s is refused with %v", example.entry.header.Name, err)
		}
		if !example.taken {
			c.wantGone(example.entry.header.Name)
		}
	}
}

func TestUnknownEntriesAndTornArchivesAreRefused(t *testing.T) {
	c := newContainer(t)
	if err := c.apply(nil, "", entry{header: tar.Header{Name: "x", Typeflag: tar.TypeCont}}); err == nil {
		t.Error("a type of no file was taken")
	}
	c = newContainer(t)
	for name, content := range map[string]string{"torn.tar": strings.Repeat("x", 700), "changes.tar.gz": "\x1f\x8b\x08"} {
		c.write(name, content)
		if applyChanges(c.rootfs, config{}, answer{Changes: filepath.Join(c.dir, name)}) == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if applyChanges(c.rootfs, config{}, answer{Changes: filepath.Join(c.dir, "absent.tar")}) == nil {
		t.Error("an absent archive was taken")
	}
}

func TestHolesStayHoles(t *testing.T) {
	c := newContainer(t)
	content := strings.Repeat("\x00", 8<<20) + "data" + strings.Repeat("\x00", 8<<20)
	if err := c.apply(nil, "", file("sparse", content), file("empty", "")); err != nil {
		t.Fatal(err)
	}
	c.want("sparse", content)
	c.want("empty", "")
	found, err := os.Stat(filepath.Join(c.rootfs, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	if taken := found.Sys().(*syscall.Stat_t).Blocks * 512; taken > 1<<20 {
		t.Errorf("a file of 4 bytes and holes takes %d bytes", taken)
	}
}
