package transfer

import (
	"bufio"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	// Without a byte acknowledged for so long the other side is given up.
	silence       = 30 * time.Second
	handshakeTime = 10 * time.Second
	// TLS reads and writes 16 KiB at once; system calls carry so much.
	bufferBytes = 256 << 10
	// https://man7.org/linux/man-pages/man7/tcp.7.html
	tcpUserTimeout = 18
)

// connection collects what TLS writes while it is held, and reads ahead.
type connection struct {
	net.Conn
	reader *bufio.Reader
	mutex  sync.Mutex
	writer *bufio.Writer
	held   bool
}

func newConnection(conn *net.TCPConn) (*connection, error) {
	keepAlive := net.KeepAliveConfig{Enable: true, Idle: silence / 3, Interval: silence / 3, Count: 3}
	if err := conn.SetKeepAliveConfig(keepAlive); err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(silence/time.Millisecond))
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	return &connection{
		Conn:   conn,
		reader: bufio.NewReaderSize(conn, bufferBytes),
		writer: bufio.NewWriterSize(patientWriter{conn}, bufferBytes),
	}, nil
}

// patientWriter gives up a peer that reads nothing.
type patientWriter struct{ conn net.Conn }

func (w patientWriter) Write(content []byte) (int, error) {
	if err := w.conn.SetWriteDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return w.conn.Write(content)
}

func (c *connection) Read(into []byte) (int, error) {
	return c.reader.Read(into)
}

func (c *connection) Write(content []byte) (int, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	count, err := c.writer.Write(content)
	if err == nil && !c.held {
		err = c.writer.Flush()
	}
	return count, err
}

// hold keeps what is written until the buffer is full, or until it is released.
func (c *connection) hold() {
	c.mutex.Lock()
	c.held = true
	c.mutex.Unlock()
}

func (c *connection) release() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.held = false
	return c.writer.Flush()
}
