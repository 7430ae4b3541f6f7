package transfer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
)

// sendCommand is one line from the node agent of the source.
type sendCommand struct {
	Send *rangeToSend `json:"send,omitempty"`
	// All was sent that there is.
	End bool `json:"end,omitempty"`
}

// rangeToSend is some of a file that no longer changes.
type rangeToSend struct {
	// Named in the answer.
	Number int `json:"number"`
	// Of the container.
	Folder    string `json:"folder"`
	Container string `json:"container"`
	Path      string `json:"path"`
	Offset    int64  `json:"offset"`
	Length    int64  `json:"length"`
	// Of the file that is meant; empty: the one that is there.
	Inode string `json:"inode,omitempty"`
}

// openTold says whether a file was there, as long as expected; if not, nothing of the range is sent.
type openTold struct {
	Number int  `json:"number"`
	IsOpen bool `json:"isOpen"`
}

type sentTold struct {
	Name   string `json:"name"`
	Offset int64  `json:"offset"`
	CRC    uint32 `json:"crc"`
}

// opened is closed when the last piece of it was read.
type opened struct {
	file *os.File
	left atomic.Int64
}

func (o *opened) done(bytes int64) {
	if o.left.Add(-bytes) <= 0 {
		o.file.Close()
	}
}

type piece struct {
	from   *opened
	name   string
	offset int64
	length int
}

// Send answers the connections of one transfer, whose other side has the key with that pin, and sends what the commands
// name until the one that ends it.
func Send(connections []*net.TCPConn, peerPin string, in io.Reader, out io.Writer) error {
	own, err := newIdentity()
	if err != nil {
		return err
	}
	if len(connections) == 0 {
		return errors.New("there are no connections")
	}
	told := &talk{out: out}
	if err := told.tell(pinTold{Pin: own.pin}); err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(context.Background())
	defer end(nil)
	pieces := make(chan piece)
	go func() {
		commands := &commands{pieces: pieces, told: told, ctx: ctx}
		end(listen(in, commands.take))
	}()
	var working sync.WaitGroup
	for _, one := range connections {
		working.Add(1)
		go func() {
			defer working.Done()
			if err := sendOver(ctx, one, own.config(peerPin), pieces, told); err != nil {
				end(err)
			}
		}()
	}
	done := make(chan struct{})
	go func() {
		working.Wait()
		close(done)
	}()
	select {
	case <-done:
		if err := context.Cause(ctx); err != nil {
			return err
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// sendOver sends pieces over one connection until there are no more.
func sendOver(ctx context.Context, conn *net.TCPConn, config *tls.Config, pieces <-chan piece, told *talk) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	collected, err := newConnection(conn)
	if err != nil {
		return err
	}
	if _, err := collected.Write([]byte{goAhead}); err != nil {
		return err
	}
	secured := tls.Server(collected, config)
	within, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	if err := secured.HandshakeContext(within); err != nil {
		return fmt.Errorf("the connection to the target could not be secured: %w", err)
	}
	broken := make(chan error, 1)
	// The target sends nothing: what comes is the end of it.
	go func() {
		_, err := secured.Read(make([]byte, 1))
		if err == nil {
			err = errors.New("the target sent bytes")
		}
		broken <- fmt.Errorf("the target closed the connection: %w", err)
	}()
	buffer := make([]byte, headerBytes+maxNameBytes+pieceBytes)
	for {
		select {
		case err := <-broken:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case next, more := <-pieces:
			if !more {
				return endOf(secured)
			}
			if err := sendPiece(collected, secured, next, buffer, told); err != nil {
				return err
			}
		}
	}
}

func endOf(secured *tls.Conn) error {
	if _, err := secured.Write(make([]byte, headerBytes)); err != nil {
		return fmt.Errorf("the connection to the target broke: %w", err)
	}
	return secured.CloseWrite()
}

func sendPiece(held *connection, secured *tls.Conn, next piece, buffer []byte, told *talk) error {
	content := buffer[headerBytes+len(next.name):][:next.length]
	_, err := io.ReadFull(io.NewSectionReader(next.from.file, next.offset, int64(next.length)), content)
	if err != nil {
		return fmt.Errorf("%s became shorter, or cannot be read: %w", next.name, err)
	}
	next.from.done(int64(next.length))
	crc := crc32.ChecksumIEEE(content)
	start := header{name: next.name, offset: next.offset, length: next.length, crc: crc}.put(buffer)
	held.hold()
	if _, err := secured.Write(buffer[:start+next.length]); err != nil {
		return fmt.Errorf("the connection to the target broke: %w", err)
	}
	if err := held.release(); err != nil {
		return fmt.Errorf("the connection to the target broke: %w", err)
	}
	return told.tell(sentTold{Name: next.name, Offset: next.offset, CRC: crc})
}

// commands are taken one after another: the pieces of one are on their way before the next is read.
type commands struct {
	pieces chan<- piece
	told   *talk
	isOver bool
	ctx    context.Context
}

func (c *commands) take(command sendCommand) error {
	switch {
	case c.isOver:
		return errors.New("a command came after the end")
	case command.End:
		c.isOver = true
		close(c.pieces)
		return nil
	case command.Send != nil:
		return c.send(*command.Send)
	}
	return errors.New("a command is empty")
}

func (c *commands) send(wanted rangeToSend) error {
	name := wanted.Container + "/" + wanted.Path
	parts, err := partsOf(name)
	if err != nil {
		return err
	}
	if len(name) > maxNameBytes || wanted.Offset < 0 || wanted.Offset%pieceBytes != 0 || wanted.Length < 0 {
		return fmt.Errorf("%d bytes of %s at %d cannot be sent", wanted.Length, name, wanted.Offset)
	}
	file, err := openToRead(wanted, parts[1:])
	if err != nil {
		return err
	}
	if err := c.told.tell(openTold{Number: wanted.Number, IsOpen: file != nil}); err != nil || file == nil {
		return err
	}
	from := &opened{file: file}
	from.left.Store(wanted.Length)
	end := wanted.Offset + wanted.Length
	// An empty file is a piece too.
	for offset := wanted.Offset; offset < end || offset == wanted.Offset; offset += pieceBytes {
		next := piece{from: from, name: name, offset: offset, length: int(min(pieceBytes, end-offset))}
		select {
		case c.pieces <- next:
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		}
	}
	return nil
}

// openToRead gives nothing when the file is not there, or is another or a shorter one.
func openToRead(wanted rangeToSend, parts []string) (*os.File, error) {
	root, err := openFolder(wanted.Folder)
	if errors.Is(err, syscall.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer syscall.Close(root)
	file, err := openBelow(root, parts, syscall.O_RDONLY|syscall.O_NONBLOCK, nil)
	for _, gone := range []error{syscall.ENOENT, syscall.ENOTDIR, syscall.ELOOP} {
		if errors.Is(err, gone) {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(file.Fd()), &stat); err != nil {
		file.Close()
		return nil, err
	}
	isMeant := wanted.Inode == "" || wanted.Inode == strconv.FormatUint(stat.Ino, 10)
	if stat.Mode&syscall.S_IFMT != syscall.S_IFREG || !isMeant || stat.Size < wanted.Offset+wanted.Length {
		file.Close()
		return nil, nil
	}
	return file, nil
}
