package pages

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// What whoever connects wants, as its first byte.
const (
	// Carry connects to the page server, and is answered with the same byte. Once only: CRIU serves one connection.
	Carry = 'P'
	// Quit ends the page server; the connection is closed when it has ended.
	Quit = 'Q'
)

const firstByteTimeout = 5 * time.Second

// A page server that nobody connected to by then ends: its agent, which would have ended it, may never come back. The
// target connects when it has all but the memory. Tests set another.
var unusedTimeout = 30 * time.Minute

// Serve runs a dump of runc with a page server, whose arguments follow `--`, and carries one connection from a socket
// that only root can use to the page server. The page server knows neither keys nor encryption and listens on all
// addresses, so this has to run in a network namespace of its own. Returns when runc has ended.
//
// The socket is there as soon as all but the memory was dumped.
func Serve(words []string) error {
	// A signal at the parent's death is bound to the thread that started the child.
	runtime.LockOSThread()
	flags := flag.NewFlagSet("serve-pages", flag.ContinueOnError)
	socket := flags.String("socket", "", "path of the socket to listen on")
	port := flags.Int("port", 0, "port of the page server")
	if err := flags.Parse(words); err != nil {
		return err
	}
	if *socket == "" || *port == 0 || flags.NArg() == 0 {
		return errors.New("usage: clouder-files serve-pages --socket PATH --port N -- RUNC ARGUMENT...")
	}
	command := exec.Command(flags.Arg(0), flags.Args()[1:]...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	status, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	// Its number there is 3: `--status-fd 3`.
	command.ExtraFiles = []*os.File{theirs}
	if err := command.Start(); err != nil {
		return err
	}
	theirs.Close()
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	if _, err := bufio.NewReader(status).ReadByte(); err != nil {
		if err := <-ended; err != nil {
			return err
		}
		return errors.New("the dump ended without a page server")
	}
	listener, err := listen(*socket)
	if err != nil {
		command.Process.Kill()
		<-ended
		return err
	}
	defer os.Remove(*socket)
	s := &server{page: fmt.Sprintf("127.0.0.1:%d", *port), over: make(chan struct{})}
	go s.accept(listener)
	unused := time.AfterFunc(unusedTimeout, s.endUnused)
	defer unused.Stop()
	err = <-ended
	listener.Close()
	close(s.over)
	return err
}

func listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	return net.Listen("unix", path)
}

type server struct {
	page string
	// Closed when the page server has ended.
	over chan struct{}

	mutex sync.Mutex
	// The one connection to the page server; nil: there was none yet.
	connection net.Conn
}

func (s *server) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		go s.answer(client)
	}
}

func (s *server) answer(client net.Conn) {
	defer client.Close()
	first := make([]byte, 1)
	client.SetReadDeadline(time.Now().Add(firstByteTimeout))
	if _, err := io.ReadFull(client, first); err != nil {
		return
	}
	client.SetReadDeadline(time.Time{})
	switch first[0] {
	case Carry:
		page := s.connect()
		if page == nil {
			return
		}
		if _, err := client.Write(first); err != nil {
			page.Close()
			return
		}
		carry(client, page)
	case Quit:
		// CRIU releases the processes when its connection ends, and waits for one first.
		s.connect()
		s.mutex.Lock()
		if s.connection != nil {
			s.connection.Close()
		}
		s.mutex.Unlock()
		<-s.over
	}
}

// endUnused has CRIU release the processes, which waits for a connection and ends with it.
func (s *server) endUnused() {
	if page := s.connect(); page != nil {
		page.Close()
	}
}

// connect gives the connection to the page server to whoever is first.
func (s *server) connect() net.Conn {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.connection != nil {
		return nil
	}
	page, err := net.Dial("tcp", s.page)
	if err != nil {
		return nil
	}
	s.connection = page
	return page
}

// carry copies both ways until one end closes: half of a conversation is of no use to either.
func carry(client, page net.Conn) {
	var once sync.Once
	end := func() {
		client.Close()
		page.Close()
	}
	done := make(chan struct{})
	go func() {
		io.Copy(client, page)
		once.Do(end)
		close(done)
	}()
	io.Copy(page, client)
	once.Do(end)
	<-done
}
