// Package pages is what the node agent has done on its node to copy memory of containers, and to serve it.
package pages

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// https://github.com/torvalds/linux/blob/v6.18/include/uapi/asm-generic/unistd.h, and of amd64 its own.
var sysSetns = map[string]uintptr{"amd64": 308, "arm64": 268}[runtime.GOARCH]

// EnterNode becomes a program in the mount namespace of the first process, with its root: runc gives what it runs a root
// of its own, and without a mount namespace would change the mounts of the node for it.
func EnterNode(words []string) error {
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		return fmt.Errorf("usage: clouder-files enter-node -- PROGRAM ARGUMENT...")
	}
	// The thread that enters becomes the process.
	runtime.LockOSThread()
	mounts, err := os.Open("/proc/1/ns/mnt")
	if err != nil {
		return err
	}
	// Threads share their root and folder; one that enters a mount namespace has its own.
	if err := syscall.Unshare(syscall.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if _, _, code := syscall.Syscall(sysSetns, mounts.Fd(), syscall.CLONE_NEWNS, 0); code != 0 {
		return fmt.Errorf("the mount namespace of the node cannot be entered: %w", code)
	}
	mounts.Close()
	program, err := exec.LookPath(words[0])
	if err != nil {
		return err
	}
	return fmt.Errorf("%s cannot be started: %w", program, syscall.Exec(program, words, os.Environ()))
}
