package main

import (
	"strconv"
	"syscall"
)

// https://github.com/torvalds/linux/blob/v6.18/include/uapi/asm-generic/unistd.h: the same on all architectures.
const (
	sysPidfdOpen  = 434
	sysPidfdGetfd = 438
)

// duplicate gives an open file of another process a descriptor in this one. Linux 5.6 and newer.
func duplicate(pid int, descriptor string) (int, error) {
	number, err := strconv.Atoi(descriptor)
	if err != nil {
		return -1, err
	}
	process, _, code := syscall.Syscall(sysPidfdOpen, uintptr(pid), 0, 0)
	if code != 0 {
		return -1, code
	}
	defer syscall.Close(int(process))
	fd, _, code := syscall.Syscall(sysPidfdGetfd, process, uintptr(number), 0)
	if code != 0 {
		return -1, code
	}
	return int(fd), nil
}
