package transfer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"hash/crc32"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const twoPieces = 2 * pieceBytes

// end is one program: what it is told, what it says, how it ends.
type end struct {
	t    *testing.T
	in   *io.PipeWriter
	said chan map[string]any
	done chan error
}

func start(t *testing.T, run func(in io.Reader, out io.Writer) error) *end {
	t.Helper()
	inReader, in := io.Pipe()
	outReader, out := io.Pipe()
	e := &end{t: t, in: in, said: make(chan map[string]any, 10_000), done: make(chan error, 1)}
	go func() {
		err := run(inReader, out)
		e.done <- err
		out.Close()
		inReader.CloseWithError(io.ErrClosedPipe)
	}()
	go func() {
		defer close(e.said)
		lines := bufio.NewScanner(outReader)
		for lines.Scan() {
			var said map[string]any
			if err := json.Unmarshal(lines.Bytes(), &said); err != nil {
				t.Errorf("%q: %v", lines.Text(), err)
			}
			e.said <- said
		}
	}()
	t.Cleanup(func() { in.Close(); outReader.Close() })
	return e
}

func (e *end) tell(command any) {
	e.t.Helper()
	line, err := json.Marshal(command)
	if err != nil {
		e.t.Fatal(err)
	}
	// One that has failed takes nothing more.
	e.in.Write(append(line, '\n'))
}

// next gives the next line that has a key; nothing at the end.
func (e *end) next(key string) map[string]any {
	for said := range e.said {
		if _, has := said[key]; has {
			return said
		}
	}
	return nil
}

func (e *end) ended() error {
	e.t.Helper()
	select {
	case err := <-e.done:
		return err
	case <-time.After(20 * time.Second):
		e.t.Fatal("it did not end")
		return nil
	}
}

// accepted takes connections of a receiver, as a node agent does.
func accepted(t *testing.T, listener *net.TCPListener, id []byte, count int) []*net.TCPConn {
	t.Helper()
	var taken []*net.TCPConn
	for range count {
		conn, err := listener.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		begin := make([]byte, 1+idBytes)
		if _, err := io.ReadFull(conn, begin); err != nil {
			t.Fatal(err)
		}
		if begin[0] != preamble || !bytes.Equal(begin[1:], id) {
			t.Fatalf("a connection began with %x", begin)
		}
		taken = append(taken, conn)
	}
	return taken
}

type scene struct {
	t        *testing.T
	listener *net.TCPListener
	id       []byte
	receiver *end
	folder   string
	// Of the receiver.
	pin string
}

// newScene has a receiver that connects, and knows where to write.
func newScene(t *testing.T, connections int, maxBytes int64) *scene {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "in")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	return newSceneIn(t, folder, connections, maxBytes)
}

func newSceneIn(t *testing.T, folder string, connections int, maxBytes int64) *scene {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	s := &scene{t: t, listener: listener, id: make([]byte, idBytes), folder: folder}
	rand.Read(s.id)
	s.receiver = start(t, Receive)
	s.pin = s.receiver.next("pin")["pin"].(string)
	port := listener.Addr().(*net.TCPAddr).Port
	s.receiver.tell(receiveCommand{Connect: &connectTo{"127.0.0.1", port, hex.EncodeToString(s.id), connections}})
	s.receiver.tell(receiveCommand{Into: &intoFolder{s.folder, maxBytes}})
	return s
}

func (s *scene) send(connections int) *end {
	s.t.Helper()
	conns := accepted(s.t, s.listener, s.id, connections)
	sender := start(s.t, func(in io.Reader, out io.Writer) error { return Send(conns, s.pin, in, out) })
	s.receiver.tell(receiveCommand{Pin: sender.next("pin")["pin"].(string)})
	return sender
}

// lie is a source that sends what it likes.
func (s *scene) lie(write func(conn *tls.Conn)) {
	s.t.Helper()
	conn := accepted(s.t, s.listener, s.id, 1)[0]
	own, err := newIdentity()
	if err != nil {
		s.t.Fatal(err)
	}
	s.receiver.tell(receiveCommand{Pin: own.pin})
	go func() {
		defer conn.Close()
		conn.Write([]byte{goAhead})
		secured := tls.Server(conn, own.config(s.pin))
		if err := secured.HandshakeContext(context.Background()); err != nil {
			s.t.Error(err)
			return
		}
		write(secured)
		// So that the receiver finds what was sent, not that it was cut.
		time.Sleep(50 * time.Millisecond)
	}()
}

func pieceOf(name string, offset int64, content []byte) []byte {
	buffer := make([]byte, headerBytes+len(name))
	header{name: name, offset: offset, length: len(content), crc: crc32.ChecksumIEEE(content)}.put(buffer)
	return append(buffer, content...)
}

var theEnd = make([]byte, headerBytes)

func randomFile(t *testing.T, path string, size int) []byte {
	t.Helper()
	content := make([]byte, size)
	rand.Read(content)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return content
}

func TestFilesArriveOverSeveralConnections(t *testing.T) {
	dump := t.TempDir()
	files := map[string]int{
		"checkpoint/pages-1.img": 9*pieceBytes + 17, "checkpoint/pages-2.img": twoPieces, "spec.dump": 5,
		"checkpoint/empty.img": 0, "a/b/c/d ä": pieceBytes - 1,
	}
	scene := newScene(t, 3, 1<<30)
	sender := scene.send(3)
	number := 0
	for path, size := range files {
		randomFile(t, filepath.Join(dump, path), size)
		number++
		sender.tell(sendCommand{Send: &rangeToSend{Number: number, Folder: dump, Container: "main", Path: path, Length: int64(size)}})
		if opened := sender.next("number"); opened["isOpen"] != true {
			t.Fatalf("%s was not opened: %v", path, opened)
		}
	}
	sender.tell(sendCommand{End: true})
	if err := sender.ended(); err != nil {
		t.Fatal(err)
	}
	received := scene.receiver.next("received")
	if err := scene.receiver.ended(); err != nil {
		t.Fatal(err)
	}
	if list := received["received"].([]any); len(list) != len(files) {
		t.Errorf("received %v", list)
	}
	for path := range files {
		want, _ := os.ReadFile(filepath.Join(dump, path))
		got, err := os.ReadFile(filepath.Join(scene.folder, "main", path))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes instead of %d, %v", path, len(got), len(want), err)
		}
		info, _ := os.Stat(filepath.Join(scene.folder, "main", path))
		if info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
}

func TestFilesThatAreNotThereAreNotSent(t *testing.T) {
	dump := t.TempDir()
	randomFile(t, filepath.Join(dump, "short"), 5)
	randomFile(t, filepath.Join(dump, "folder/file"), 5)
	outside := filepath.Join(t.TempDir(), "secret")
	randomFile(t, outside, 5)
	os.Symlink(outside, filepath.Join(dump, "link"))
	os.Symlink(filepath.Dir(outside), filepath.Join(dump, "way"))
	syscall.Mkfifo(filepath.Join(dump, "fifo"), 0o600)
	scene := newScene(t, 1, 1<<30)
	sender := scene.send(1)
	for number, wanted := range []rangeToSend{
		{Path: "missing"}, {Path: "short", Length: 6}, {Path: "short", Length: 5, Inode: "1"}, {Path: "link", Length: 5},
		{Path: "way/secret", Length: 5}, {Path: "fifo"}, {Path: "folder"}, {Folder: dump + "/none", Path: "short"},
	} {
		if wanted.Folder == "" {
			wanted.Folder = dump
		}
		wanted.Number, wanted.Container = number, "main"
		sender.tell(sendCommand{Send: &wanted})
		if opened := sender.next("number"); opened["isOpen"] != false {
			t.Errorf("%+v was opened", wanted)
		}
	}
	sender.tell(sendCommand{End: true})
	if err := sender.ended(); err != nil {
		t.Error(err)
	}
	if received := scene.receiver.next("received"); len(received["received"].([]any)) != 0 {
		t.Errorf("received %v", received)
	}
}

func TestLiesOfASourceAreRefused(t *testing.T) {
	content := []byte("memory")
	whole := make([]byte, pieceBytes)
	changed := pieceOf("main/a", 0, content)
	changed[len(changed)-1] ^= 1
	tooLong := pieceOf("main/a", 0, nil)
	copy(tooLong[2:], []byte{0x7f, 0xff, 0xff, 0xff})
	for name, lie := range map[string][][]byte{
		"a path that leads out":                   {pieceOf("main/../../a", 0, content)},
		"an absolute path":                        {pieceOf("main//etc/a", 0, content)},
		"a path with the folder itself":           {pieceOf("main/./a", 0, content)},
		"a path with a zero":                      {pieceOf("main/a\x00b", 0, content)},
		"a container that leads out":              {pieceOf("../a", 0, content)},
		"a container with other letters":          {pieceOf("Main/a", 0, content)},
		"no container":                            {pieceOf("a", 0, content)},
		"folders without end":                     {pieceOf("main"+strings.Repeat("/a", maxParts), 0, content)},
		"bytes that were changed":                 {changed},
		"bytes twice":                             {pieceOf("main/a", 0, content), pieceOf("main/a", 0, content)},
		"an offset between two pieces":            {pieceOf("main/a", 4096, content)},
		"bytes that leave something out":          {pieceOf("main/a", pieceBytes, content)},
		"a whole piece that leaves out":           {pieceOf("main/a", pieceBytes, whole)},
		"bytes after the last":                    {pieceOf("main/a", 0, content), pieceOf("main/a", pieceBytes, content)},
		"a whole piece after the last":            {pieceOf("main/a", 0, content), pieceOf("main/a", pieceBytes, whole)},
		"nothing after the last":                  {pieceOf("main/a", 0, whole), pieceOf("main/a", pieceBytes, nil)},
		"a file where a folder is":                {pieceOf("main/a/b", 0, content), pieceOf("main/a", 0, content)},
		"a folder where a file is":                {pieceOf("main/a", 0, content), pieceOf("main/a/b", 0, content)},
		"a piece that is too long":                {tooLong},
		"a header that is none":                   {bytes.Repeat([]byte{255}, 100)},
		"half a header":                           {pieceOf("main/a", 0, content), {0, 0, 0}},
		"half a piece":                            {pieceOf("main/a", 0, whole)[:5000]},
		"more than there is room for":             {pieceOf("main/a", 0, whole), pieceOf("main/b", 0, whole), pieceOf("main/c", 0, whole)},
		"an offset beyond what there is room for": {pieceOf("main/a", 1<<50, content)},
		"something after the end":                 {theEnd, pieceOf("main/a", 0, content)},
		"no end":                                  {pieceOf("main/a", 0, content), nil},
	} {
		t.Run(name, func(t *testing.T) {
			scene := newScene(t, 1, twoPieces)
			isCut := name == "no end" || strings.HasPrefix(name, "half")
			scene.lie(func(conn *tls.Conn) {
				for _, part := range lie {
					conn.Write(part)
				}
				if !isCut {
					conn.Write(theEnd)
				}
				conn.CloseWrite()
			})
			if said := scene.receiver.next("received"); said != nil {
				t.Fatalf("it was accepted: %v", said)
			}
			if err := scene.receiver.ended(); err == nil {
				t.Fatal("it was accepted")
			}
			outside, _ := os.ReadDir(filepath.Dir(scene.folder))
			if len(outside) != 1 {
				t.Errorf("there is %v", outside)
			}
		})
	}
}

func TestRoomIsBounded(t *testing.T) {
	scene := newScene(t, 1, pieceBytes)
	scene.lie(func(conn *tls.Conn) {
		conn.Write(pieceOf("main/a", 0, make([]byte, pieceBytes)))
		conn.Write(pieceOf("main/b", 0, []byte("x")))
	})
	if said := scene.receiver.next("failed"); said["failed"] != "TooLarge" {
		t.Errorf("it said %v", said)
	}
}

func TestFullFileSystem(t *testing.T) {
	folder := t.TempDir()
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(folder, syscall.MNT_DETACH)
	scene := newSceneIn(t, folder, 1, 1<<30)
	scene.lie(func(conn *tls.Conn) { conn.Write(pieceOf("main/a", 0, make([]byte, pieceBytes))) })
	if said := scene.receiver.next("failed"); said["failed"] != "Full" {
		t.Errorf("it said %v", said)
	}
}

func TestAnotherKeyThanTheOneThatWasTold(t *testing.T) {
	other, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("of the source", func(t *testing.T) {
		scene := newScene(t, 1, twoPieces)
		conns := accepted(t, scene.listener, scene.id, 1)
		sender := start(t, func(in io.Reader, out io.Writer) error { return Send(conns, scene.pin, in, out) })
		sender.next("pin")
		scene.receiver.tell(receiveCommand{Pin: other.pin})
		if err := scene.receiver.ended(); err == nil || !strings.Contains(err.Error(), errWrongPin.Error()) {
			t.Errorf("the receiver ended with %v", err)
		}
		if err := sender.ended(); err == nil {
			t.Error("the sender accepted it")
		}
	})
	t.Run("of the target", func(t *testing.T) {
		scene := newScene(t, 1, twoPieces)
		conns := accepted(t, scene.listener, scene.id, 1)
		sender := start(t, func(in io.Reader, out io.Writer) error { return Send(conns, other.pin, in, out) })
		scene.receiver.tell(receiveCommand{Pin: sender.next("pin")["pin"].(string)})
		if err := sender.ended(); err == nil || !strings.Contains(err.Error(), errWrongPin.Error()) {
			t.Errorf("the sender ended with %v", err)
		}
		if err := scene.receiver.ended(); err == nil {
			t.Error("the receiver accepted it")
		}
	})
}

func TestBothEndWithTheirAgentAndWithEachOther(t *testing.T) {
	for name, stop := range map[string]func(s *scene, sender *end){
		"agent of the source": func(_ *scene, sender *end) { sender.in.Close() },
		"agent of the target": func(s *scene, _ *end) { s.receiver.in.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			dump := t.TempDir()
			randomFile(t, filepath.Join(dump, "a"), pieceBytes)
			scene := newScene(t, 2, twoPieces)
			sender := scene.send(2)
			sender.tell(sendCommand{Send: &rangeToSend{Number: 1, Folder: dump, Container: "main", Path: "a", Length: pieceBytes}})
			sender.next("crc")
			stop(scene, sender)
			if err := sender.ended(); err == nil {
				t.Error("the sender ended as if all was sent")
			}
			if err := scene.receiver.ended(); err == nil {
				t.Error("the receiver ended as if all was received")
			}
		})
	}
}

func TestCommandsAreChecked(t *testing.T) {
	for _, line := range []string{`{}`, `not JSON`, `{"send":{"path":"../x","container":"main","folder":"/","length":1}}`,
		`{"send":{"path":"a","container":"main","folder":"/","offset":7}}`} {
		scene := newScene(t, 1, twoPieces)
		sender := scene.send(1)
		sender.in.Write([]byte(line + "\n"))
		if err := sender.ended(); err == nil {
			t.Errorf("%s was accepted", line)
		}
	}
}
