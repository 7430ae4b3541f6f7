package pages

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// dumping stands for runc: it serves pages to one connection on a port of its own, sends what it got back in capitals,
// and ends when the connection does. `ready` is what `--status-fd` says: nothing, or that all but memory was dumped.
func dumping() {
	listener, err := net.Listen("tcp", os.Getenv("PAGE_ADDRESS"))
	if err != nil {
		os.Exit(3)
	}
	if os.Getenv("PAGE_SERVER") == "fails" {
		os.Stderr.WriteString("cannot dump\n")
		os.Exit(7)
	}
	os.NewFile(3, "status").Write([]byte{0})
	connection, err := listener.Accept()
	if err != nil {
		os.Exit(4)
	}
	listener.Close()
	for {
		part := make([]byte, 64)
		n, err := connection.Read(part)
		if err != nil {
			os.Exit(0)
		}
		connection.Write(bytes.ToUpper(part[:n]))
	}
}

type serving struct {
	socket string
	ended  chan error
}

func serve(t *testing.T, kind string) serving {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	free.Close()
	t.Setenv("PAGE_SERVER", kind)
	t.Setenv("PAGE_ADDRESS", address)
	s := serving{filepath.Join(t.TempDir(), "pages.sock"), make(chan error, 1)}
	go func() { s.ended <- Serve([]string{"--socket", s.socket, "--port", port, "--", os.Args[0]}) }()
	return s
}

// connect waits for the socket, and sends the first byte.
func (s serving) connect(t *testing.T, first byte) net.Conn {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		client, err := net.Dial("unix", s.socket)
		if err == nil {
			client.SetDeadline(time.Now().Add(10 * time.Second))
			client.Write([]byte{first})
			return client
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func (s serving) wantEnd(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.ended:
		if _, missing := os.Stat(s.socket); !errors.Is(missing, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", missing)
		}
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
		return nil
	}
}

func wantRead(t *testing.T, from io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(from, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v instead of %q", got, err, want)
	}
}

func TestOneConnectionIsCarriedToThePageServer(t *testing.T) {
	s := serve(t, "serves")
	client := s.connect(t, Carry)
	wantRead(t, client, string(Carry))
	fmt.Fprint(client, "page")
	wantRead(t, client, "PAGE")
	if info, err := os.Stat(s.socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: others than root can connect", info, err)
	}
	// CRIU serves one: another one would wait for ever.
	if got, err := io.ReadAll(s.connect(t, Carry)); len(got) != 0 || err != nil {
		t.Errorf("a second connection got %q, %v", got, err)
	}
	fmt.Fprint(client, "more")
	wantRead(t, client, "MORE")
	client.Close()
	if err := s.wantEnd(t); err != nil {
		t.Error(err)
	}
}

func TestAPageServerThatNobodyNeedsEnds(t *testing.T) {
	for _, isUsed := range []bool{false, true} {
		t.Run(strconv.FormatBool(isUsed), func(t *testing.T) {
			s := serve(t, "serves")
			if isUsed {
				wantRead(t, s.connect(t, Carry), string(Carry))
			}
			// Closed when it has ended.
			if got, err := io.ReadAll(s.connect(t, Quit)); len(got) != 0 || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			if err := s.wantEnd(t); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAPageServerWithoutAConnectionEndsByItself(t *testing.T) {
	old := unusedTimeout
	unusedTimeout = 100 * time.Millisecond
	t.Cleanup(func() { unusedTimeout = old })
	if err := serve(t, "serves").wantEnd(t); err != nil {
		t.Error(err)
	}
	// One that is used does not.
	s := serve(t, "serves")
	client := s.connect(t, Carry)
	wantRead(t, client, string(Carry))
	time.Sleep(300 * time.Millisecond)
	fmt.Fprint(client, "page")
	wantRead(t, client, "PAGE")
	client.Close()
	s.wantEnd(t)
}

func TestAStrangeOrSilentClientGetsNothing(t *testing.T) {
	s := serve(t, "serves")
	if got, err := io.ReadAll(s.connect(t, 'X')); len(got) != 0 || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	client := s.connect(t, Carry)
	wantRead(t, client, string(Carry))
	client.Close()
	s.wantEnd(t)
}

func TestADumpThatFailsLeavesNoSocket(t *testing.T) {
	if err := serve(t, "fails").wantEnd(t); err == nil || err.Error() != "exit status 7" {
		t.Errorf("%v instead of the failure of the dump", err)
	}
}

func TestArgumentsThatAreMissingAreRefused(t *testing.T) {
	for _, words := range [][]string{{}, {"--socket", "/s", "--port", "1"}, {"--port", "1", "--", "runc"}} {
		if err := Serve(words); err == nil {
			t.Errorf("%q is not refused", words)
		}
	}
}
