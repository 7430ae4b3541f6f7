package main

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == fetchCommand:
		criu, runc = os.Args[0], os.Getenv("FAKE_RUNC")
		if err := fetchPages(os.Args[2:]); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	case len(os.Args) > 1 && os.Args[1] == "lazy-pages":
		fillPages()
	}
	os.Exit(m.Run())
}

// fillPages stands for CRIU's daemon: it says that it listens, and ends with what comes over the connection: `.` all
// memory has come. With its end it fails, and says why in its log.
func fillPages() {
	if os.Getenv("FAKE_CRIU") == "refuses" {
		os.Exit(2)
	}
	number := map[string]uintptr{"amd64": 323, "arm64": 282}[runtime.GOARCH]
	if os.Getenv("FAKE_CRIU") == "used" {
		if _, _, code := syscall.Syscall(number, 1, 0, 0); code != 0 {
			os.Exit(9)
		}
	}
	work := ""
	for i, word := range os.Args[:len(os.Args)-1] {
		if word == "--work-dir" {
			work = os.Args[i+1]
		}
	}
	os.NewFile(4, "status").Write([]byte{0})
	file := os.NewFile(3, "pages")
	connection, err := net.FileConn(file)
	if err != nil {
		os.Exit(3)
	}
	file.Close()
	first := make([]byte, 1)
	if _, err := io.ReadFull(connection, first); err == nil && first[0] == '.' {
		os.Exit(0)
	}
	os.WriteFile(filepath.Join(work, daemonLog), []byte("(00.1) Warn nothing\n(00.2) Error (criu/page-xfer.c:1): the connection closed\n"), 0o600)
	os.Exit(1)
}

type fetching struct {
	dir    string
	answer answer
	// Of the node agent: leads to the page server.
	agent net.Listener
}

func newFetching(t *testing.T, kind string) fetching {
	t.Helper()
	dir := t.TempDir()
	script := filepath.Join(dir, "runc")
	calls := "#!/bin/sh\necho \"$@\" >> " + filepath.Join(dir, "calls") + "\n"
	if err := os.WriteFile(script, []byte(calls), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FAKE_RUNC", script)
	t.Setenv("FAKE_CRIU", kind)
	old := runc
	runc = script
	t.Cleanup(func() { runc = old })
	agent, err := net.Listen("unix", filepath.Join(dir, "pages.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { agent.Close() })
	state := filepath.Join(dir, "state")
	return fetching{dir, answer{ImageDir: dir, WorkDir: dir, Pages: &pages{Socket: agent.Addr().String(), State: state}}, agent}
}

func (f fetching) start(t *testing.T) (*fetcher, net.Conn) {
	t.Helper()
	accepted := make(chan net.Conn, 1)
	go func() {
		connection, err := f.agent.Accept()
		if err == nil {
			accepted <- connection
		}
	}()
	started, err := startFetcher(call{id: "abc", global: []string{"--root", "/r"}}, f.answer)
	if err != nil {
		t.Fatal(err)
	}
	return started, <-accepted
}

func (f fetching) wantState(t *testing.T, words ...string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(f.answer.Pages.State)
		if err == nil {
			for _, word := range words {
				if !strings.Contains(string(text), word) {
					t.Errorf("the state is %q, without %q", text, word)
				}
			}
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func (f fetching) calls() string {
	text, _ := os.ReadFile(filepath.Join(f.dir, "calls"))
	return string(text)
}

func TestMemoryThatHasAllComeIsNoted(t *testing.T) {
	f := newFetching(t, "")
	_, pages := f.start(t)
	pages.Write([]byte("."))
	f.wantState(t, stateComplete)
	if got := f.calls(); got != "" {
		t.Errorf("runc was called: %s", got)
	}
}

func TestAContainerWhoseMemoryIsLostIsKilledAndTheReasonIsNoted(t *testing.T) {
	f := newFetching(t, "used")
	_, pages := f.start(t)
	pages.Close()
	f.wantState(t, stateLost, "did not receive all memory", "exit status 1", "page-xfer.c:1): the connection closed")
	if got, want := f.calls(), "--root /r kill abc KILL\n"; got != want {
		t.Errorf("%q instead of %q", got, want)
	}
}

func TestADaemonThatCannotStartLeavesNothingToRestore(t *testing.T) {
	f := newFetching(t, "refuses")
	go f.agent.Accept()
	if _, err := startFetcher(call{id: "abc"}, f.answer); err == nil || !strings.Contains(err.Error(), "CRIU cannot receive memory") {
		t.Errorf("%v", err)
	}
	f.wantState(t, stateNotStarted, "CRIU cannot receive memory")
	f.agent.Close()
	os.Remove(f.answer.Pages.State)
	if _, err := startFetcher(call{id: "abc"}, f.answer); err == nil || !strings.Contains(err.Error(), "the node agent does not answer") {
		t.Errorf("%v", err)
	}
	f.wantState(t, stateNotStarted, "the node agent does not answer")
}

func TestARestoreThatFailsEndsTheDaemonBeforeItIsNoted(t *testing.T) {
	f := newFetching(t, "")
	started, pages := f.start(t)
	started.giveUp(call{id: "abc"}, "no room", false)
	f.wantState(t, stateNotStarted, "no room")
	if got := f.calls(); got != "delete --force abc\n" {
		t.Errorf("runc was called with %q", got)
	}
	pages.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := pages.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("%v: the daemon still has its connection", err)
	}
}

func TestWhatMayHaveRunBeforeItsRestoreFailedIsLost(t *testing.T) {
	f := newFetching(t, "")
	log := filepath.Join(f.answer.WorkDir, restoreLog)
	for _, c := range []struct {
		text   string
		hasRun bool
	}{
		{"(00.284014) Error (criu/cr-restore.c:1269): 6617 killed by signal 9: Killed\n", false},
		{"(00.301) Run late stage hook from criu master for external devices\n", true},
		{"(00.301) Run late stage hook from criu master for external devices\n(00.310) Restore finished successfully. Tasks resumed.\n", true},
	} {
		if err := os.WriteFile(log, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := mayHaveRun(f.answer.WorkDir); got != c.hasRun {
			t.Errorf("%t of %q", got, c.text)
		}
	}
	started, _ := f.start(t)
	started.giveUp(call{id: "abc"}, "runc failed", mayHaveRun(f.answer.WorkDir))
	f.wantState(t, stateLost, "runc failed")
	os.Remove(log)
	if mayHaveRun(f.answer.WorkDir) {
		t.Error("CRIU did not even start")
	}
}

func TestMissingPagesAreHeldUntilTheContainerIsKilled(t *testing.T) {
	f := newFetching(t, "used")
	oldCriu := criu
	criu = os.Args[0]
	t.Cleanup(func() { criu = oldCriu })
	go func() {
		connection, err := f.agent.Accept()
		if err != nil {
			return
		}
		time.Sleep(300 * time.Millisecond)
		connection.Close()
	}()
	d, err := startDaemon(f.dir, f.dir, f.answer.Pages.Socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.watch(); err == nil {
		t.Error("its end is no failure")
	}
	if len(d.held) != 1 {
		t.Fatalf("%d files are held", len(d.held))
	}
	for _, fd := range d.held {
		if target, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err != nil || target != "anon_inode:[userfaultfd]" {
			t.Errorf("%q, %v", target, err)
		}
	}
	d.release()
}

func TestSocketsOfOthersAreRefused(t *testing.T) {
	old, oldDir := socket, restoreDir
	socket, restoreDir = "/run/clouder/agent/restore.sock", "/var/lib/clouder/restore"
	t.Cleanup(func() { socket, restoreDir = old, oldDir })
	for _, path := range []string{"/run/other.sock", "/run/clouder/agent/../x.sock", "relative.sock"} {
		a := answer{ImageDir: restoreDir + "/a", WorkDir: restoreDir + "/b", Pages: &pages{Socket: path, State: restoreDir + "/c"}}
		if err := a.checkPaths(); err == nil {
			t.Errorf("%s is not refused", path)
		}
	}
	a := answer{ImageDir: restoreDir + "/a", WorkDir: restoreDir + "/b", Pages: &pages{Socket: "/run/clouder/agent/x.sock", State: "/etc/passwd"}}
	if err := a.checkPaths(); err == nil {
		t.Error("a state file elsewhere is not refused")
	}
}
