package transfer

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// receiveCommand is one line from the node agent of the target. Each comes once.
type receiveCommand struct {
	Connect *connectTo `json:"connect,omitempty"`
	// Of the other side.
	Pin string `json:"pin,omitempty"`
	// Where files are written.
	Into *intoFolder `json:"into,omitempty"`
}

type connectTo struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	// Of the transfer, in hexadecimal.
	ID          string `json:"id"`
	Connections int    `json:"connections"`
}

type intoFolder struct {
	Folder   string `json:"folder"`
	MaxBytes int64  `json:"maxBytes"`
}

type progressTold struct {
	ReceivedBytes int64 `json:"receivedBytes"`
}

// receivedTold is the last line, after the source has ended all connections.
type receivedTold struct {
	Received []fileTold `json:"received"`
}

// failedTold is the last line when it failed for want of room.
type failedTold struct {
	// TooLarge: more than it may be. Full: the file system has no room.
	Failed string `json:"failed"`
}

const progressEvery = 50 * time.Millisecond

// later is a value that is not there yet.
type later[T any] struct {
	value T
	ready chan struct{}
}

func newLater[T any]() *later[T] { return &later[T]{ready: make(chan struct{})} }

func (l *later[T]) give(value T) error {
	select {
	case <-l.ready:
		return errors.New("a command came twice")
	default:
	}
	l.value = value
	close(l.ready)
	return nil
}

func (l *later[T]) wait(ctx context.Context) (T, error) {
	select {
	case <-l.ready:
		return l.value, nil
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

type receiving struct {
	own  identity
	told *talk
	pin  *later[string]
	into *later[*written]
	// Closed connections, which the last one ends.
	working sync.WaitGroup
	started chan struct{}
	ctx     context.Context
	fail    context.CancelCauseFunc
}

// Receive makes the connections of one transfer, writes the files that come, and describes them. What is there when it
// fails is the caller's to remove.
func Receive(in io.Reader, out io.Writer) error {
	own, err := newIdentity()
	if err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(context.Background())
	defer fail(nil)
	r := &receiving{
		own: own, told: &talk{out: out}, pin: newLater[string](), into: newLater[*written](),
		started: make(chan struct{}), ctx: ctx, fail: fail,
	}
	if err := r.told.tell(pinTold{Pin: own.pin}); err != nil {
		return err
	}
	go func() { fail(listen(in, r.take)) }()
	err = r.result()
	var tooLarge tooLargeError
	switch {
	case errors.As(err, &tooLarge):
		r.told.tell(failedTold{Failed: "TooLarge"})
	case err != nil && isFull(err):
		r.told.tell(failedTold{Failed: "Full"})
	}
	return err
}

func (r *receiving) result() error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-r.started:
			r.working.Wait()
		case <-r.ctx.Done():
		}
	}()
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	toldBytes := int64(0)
	for {
		select {
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		case <-ticker.C:
		case <-done:
			if err := context.Cause(r.ctx); err != nil {
				return err
			}
			to, err := r.into.wait(r.ctx)
			if err != nil {
				return err
			}
			files, err := to.list()
			if err != nil {
				return err
			}
			if err := r.told.tell(progressTold{ReceivedBytes: to.receivedBytes()}); err != nil {
				return err
			}
			return r.told.tell(receivedTold{Received: files})
		}
		select {
		case <-r.into.ready:
			if bytes := r.into.value.receivedBytes(); bytes != toldBytes {
				toldBytes = bytes
				if err := r.told.tell(progressTold{ReceivedBytes: bytes}); err != nil {
					return err
				}
			}
		default:
		}
	}
}

func (r *receiving) take(command receiveCommand) error {
	switch {
	case command.Connect != nil:
		return r.connect(*command.Connect)
	case command.Pin != "":
		return r.pin.give(command.Pin)
	case command.Into != nil:
		to, err := newWritten(command.Into.Folder, command.Into.MaxBytes)
		if err != nil {
			return err
		}
		return r.into.give(to)
	}
	return errors.New("a command is empty")
}

func (r *receiving) connect(to connectTo) error {
	id, err := hex.DecodeString(to.ID)
	if err != nil || len(id) != idBytes || to.Connections < 1 || to.Connections > maxConnections {
		return errors.New("the source offered connections that are invalid")
	}
	select {
	case <-r.started:
		return errors.New("a command came twice")
	default:
	}
	address := net.JoinHostPort(to.Host, strconv.Itoa(to.Port))
	for range to.Connections {
		r.working.Add(1)
		go func() {
			defer r.working.Done()
			if err := r.receiveOver(address, id); err != nil {
				r.fail(err)
			}
		}()
	}
	close(r.started)
	return nil
}

// receiveOver makes one connection and writes what comes until the source ends it.
func (r *receiving) receiveOver(address string, id []byte) error {
	dialer := net.Dialer{Timeout: handshakeTime}
	dialed, err := dialer.DialContext(r.ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer dialed.Close()
	defer context.AfterFunc(r.ctx, func() { dialed.Close() })()
	tcp, isTCP := dialed.(*net.TCPConn)
	if !isTCP {
		return fmt.Errorf("%s is not reached by TCP", address)
	}
	conn, err := newConnection(tcp)
	if err != nil {
		return err
	}
	secured, err := r.secure(conn, id)
	if err != nil {
		return fmt.Errorf("the connection to %s could not be secured: %w", address, err)
	}
	to, err := r.into.wait(r.ctx)
	if err != nil {
		return err
	}
	return receivePieces(secured, to)
}

func (r *receiving) secure(conn *connection, id []byte) (*tls.Conn, error) {
	if _, err := conn.Write(append([]byte{preamble}, id...)); err != nil {
		return nil, err
	}
	// The source waits for all connections, and tells its pin then.
	pin, err := r.pin.wait(r.ctx)
	if err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(handshakeTime)); err != nil {
		return nil, err
	}
	answer := []byte{0}
	if _, err := io.ReadFull(conn, answer); err != nil {
		return nil, err
	}
	if answer[0] != goAhead {
		return nil, errors.New("the source did not accept it")
	}
	secured := tls.Client(conn, r.own.config(pin))
	if err := secured.HandshakeContext(r.ctx); err != nil {
		return nil, err
	}
	return secured, conn.SetReadDeadline(time.Time{})
}

func receivePieces(from io.Reader, to *written) error {
	buffer := make([]byte, pieceBytes)
	fixed := make([]byte, headerBytes)
	name := make([]byte, maxNameBytes)
	for {
		if _, err := io.ReadFull(from, fixed); err != nil {
			return broken(err)
		}
		if isEnd(fixed) {
			if _, err := io.ReadFull(from, fixed); !errors.Is(err, io.EOF) {
				return errors.New("the source sent something after the end")
			}
			return nil
		}
		h, nameBytes, err := fixedHeader(fixed)
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(from, name[:nameBytes]); err != nil {
			return broken(err)
		}
		h.name = string(name[:nameBytes])
		if _, err := io.ReadFull(from, buffer[:h.length]); err != nil {
			return broken(err)
		}
		if err := to.write(h, buffer[:h.length]); err != nil {
			return err
		}
	}
}

func broken(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the connection to the source broke: %w", err)
}
