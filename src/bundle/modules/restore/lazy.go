package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Tests link another.
var criu = "criu"

const (
	// Of this program, when it brings the memory of a container whose processes run already.
	fetchCommand = "fetch-pages"

	// What the state file of a container starts with. Without one nothing is known: its processes may run.
	stateNotStarted = "not-started"
	stateComplete   = "complete"
	stateLost       = "lost"

	// Processes have to ask for their memory within this time.
	restoreTimeout = 2 * time.Minute
	watchInterval  = 5 * time.Millisecond
	maxStateLen    = 600

	// Of a restore, and what CRIU writes to it when all that is left to do is to resume the processes.
	restoreLog   = "restore.log"
	beforeResume = "Run late stage hook"
)

// fetcher is the process that brings memory. It outlives this one and the node agent.
type fetcher struct {
	process *os.Process
	state   string
}

// startFetcher returns when processes can be restored whose memory it brings.
func startFetcher(c call, a answer) (*fetcher, error) {
	if err := os.Remove(a.Pages.State); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ready, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	log, err := os.OpenFile(filepath.Join(a.WorkDir, "fetch-pages.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	words := []string{fetchCommand, "--images", a.ImageDir, "--work", a.WorkDir, "--socket", a.Pages.Socket, "--state", a.Pages.State, "--id", c.id, "--"}
	command := exec.Command(self, append(words, c.global...)...)
	command.Stderr = log
	command.ExtraFiles = []*os.File{theirs}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = command.Start()
	theirs.Close()
	if err != nil {
		return nil, err
	}
	started := &fetcher{command.Process, a.Pages.State}
	if _, err := bufio.NewReader(ready).ReadByte(); err != nil {
		command.Wait()
		told, _ := os.ReadFile(log.Name())
		started.note(stateNotStarted, string(told))
		return nil, fmt.Errorf("%s", strings.TrimSpace(string(told)))
	}
	return started, nil
}

// giveUp says what came of a container that could not be restored, once no process of it runs.
func (f *fetcher) giveUp(c call, why string, hasRun bool) {
	syscall.Kill(-f.process.Pid, syscall.SIGKILL)
	f.process.Wait()
	exec.Command(runc, append(append([]string{}, c.global...), "delete", "--force", c.id)...).Run()
	if hasRun {
		f.note(stateLost, why)
	} else {
		f.note(stateNotStarted, why)
	}
}

// mayHaveRun is whether CRIU may have let processes run that it restored. It writes a line shortly before; what fails
// after that, runc for example, ends processes that others may have seen.
func mayHaveRun(workDir string) bool {
	text, err := os.ReadFile(filepath.Join(workDir, restoreLog))
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	return err != nil || bytes.Contains(text, []byte(beforeResume))
}

func (f *fetcher) note(state, why string) {
	if err := writeState(f.state, state, why); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func writeState(path, state, why string) error {
	if len(why) > maxStateLen {
		why = why[:maxStateLen]
	}
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := fmt.Fprintf(file, "%s\n%s", state, strings.TrimSpace(why)); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// fetchPages runs CRIU's daemon that fills in memory, and ends the container if that ends before all memory came: what
// its processes read from then on would be zeros.
func fetchPages(words []string) error {
	flags := flag.NewFlagSet(fetchCommand, flag.ContinueOnError)
	images := flags.String("images", "", "folder with CRIU's images")
	work := flags.String("work", "", "folder for CRIU's socket and log")
	socket := flags.String("socket", "", "socket of the node agent that leads to the page server")
	state := flags.String("state", "", "file to write the result to")
	id := flags.String("id", "", "container to end if its memory is lost")
	if err := flags.Parse(words); err != nil {
		return err
	}
	ready := os.NewFile(3, "ready")
	daemon, err := startDaemon(*images, *work, *socket)
	if err != nil {
		return err
	}
	if _, err := ready.Write([]byte{0}); err != nil {
		daemon.command.Process.Kill()
		return err
	}
	ready.Close()
	failure := daemon.watch()
	if failure == nil {
		return writeState(*state, stateComplete, "")
	}
	// Before the pages that are held become zeros.
	kill := exec.Command(runc, append(append([]string{}, flags.Args()...), "kill", *id, "KILL")...)
	if told, err := kill.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", err, told)
	}
	daemon.release()
	return writeState(*state, stateLost, fmt.Sprintf("CRIU did not receive all memory (%s)%s", failure, logged(filepath.Join(*work, daemonLog))))
}

const daemonLog = "lazy-pages.log"

// daemon is CRIU's, with the file descriptors through which it fills in memory: as long as one is open somewhere, a
// process waits for a page that is missing, instead of reading zeros.
type daemon struct {
	command *exec.Cmd
	ended   chan error
	held    map[string]int
	// Whether a process was restored that wants memory.
	isUsed bool
}

func startDaemon(images, work, socket string) (*daemon, error) {
	connection, err := (&net.Dialer{Timeout: 10 * time.Second}).Dial("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("the node agent does not answer: %w", err)
	}
	defer connection.Close()
	pages, err := connection.(*net.UnixConn).File()
	if err != nil {
		return nil, err
	}
	defer pages.Close()
	status, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer status.Close()
	words := []string{"lazy-pages", "--images-dir", images, "--work-dir", work, "--page-server", "--ps-socket", "3", "--status-fd", "4", "-v2", "-o", daemonLog}
	command := exec.Command(criu, words...)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	command.ExtraFiles = []*os.File{pages, theirs}
	err = command.Start()
	theirs.Close()
	if err != nil {
		return nil, err
	}
	d := &daemon{command: command, ended: make(chan error, 1), held: map[string]int{}}
	go func() { d.ended <- command.Wait() }()
	if _, err := io.ReadFull(status, make([]byte, 1)); err != nil {
		command.Process.Kill()
		return nil, fmt.Errorf("CRIU cannot receive memory: %w%s", <-d.ended, logged(filepath.Join(work, daemonLog)))
	}
	return d, nil
}

// watch waits until the daemon ends; an error says why it could not bring all memory.
func (d *daemon) watch() error {
	deadline := time.Now().Add(restoreTimeout)
	for {
		select {
		case err := <-d.ended:
			return err
		case <-time.After(watchInterval):
		}
		d.hold()
		if !d.isUsed && time.Now().After(deadline) {
			d.command.Process.Kill()
			<-d.ended
			return errors.New("no process asked for its memory")
		}
	}
}

// hold duplicates what the daemon has open of that kind, and closes what the daemon closed because it is done with it.
// One that has none of its files any more has ended.
func (d *daemon) hold() {
	folder := fmt.Sprintf("/proc/%d/fd", d.command.Process.Pid)
	names, err := filepath.Glob(folder + "/*")
	if err != nil || len(names) == 0 {
		return
	}
	open := map[string]bool{}
	for _, name := range names {
		if target, err := os.Readlink(name); err != nil || target != "anon_inode:[userfaultfd]" {
			continue
		}
		open[name] = true
		d.isUsed = true
		if _, isHeld := d.held[name]; isHeld {
			continue
		}
		if fd, err := duplicate(d.command.Process.Pid, filepath.Base(name)); err != nil {
			fmt.Fprintf(os.Stderr, "%s cannot be held: %s\n", name, err)
		} else {
			d.held[name] = fd
		}
	}
	for name, fd := range d.held {
		if !open[name] && isAlive(folder) {
			syscall.Close(fd)
			delete(d.held, name)
		}
	}
}

func (d *daemon) release() {
	for _, fd := range d.held {
		syscall.Close(fd)
	}
}

func isAlive(folder string) bool {
	names, err := filepath.Glob(folder + "/*")
	return err == nil && len(names) > 0
}

// logged is what CRIU wrote down of errors.
func logged(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return errorsIn(text)
}
