package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"

	"clouder.dev/bundle/restore/transfer"
)

const firstConnection = 3

func init() {
	// The signal at the parent's death is bound to the thread that asked for it; this one stays.
	runtime.LockOSThread()
}

// endWithParent has the kernel kill this program when the node agent is killed, before it could close anything.
func endWithParent() error {
	_, _, err := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0)
	if err != 0 {
		return err
	}
	return nil
}

func sendDump(count int, peerPin string, out io.Writer) error {
	if err := endWithParent(); err != nil {
		return err
	}
	var connections []*net.TCPConn
	for fd := firstConnection; fd < firstConnection+count; fd++ {
		file := os.NewFile(uintptr(fd), fmt.Sprintf("connection %d", fd))
		conn, err := net.FileConn(file)
		if err != nil {
			return err
		}
		file.Close()
		tcp, isTCP := conn.(*net.TCPConn)
		if !isTCP {
			return fmt.Errorf("file descriptor %d is not a connection by TCP", fd)
		}
		connections = append(connections, tcp)
	}
	return transfer.Send(connections, peerPin, os.Stdin, out)
}
