package transfer

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// openBelow opens a file below an open folder, and follows no link on the way. With `made`, folders that are missing
// are made, and it is called for each.
func openBelow(root int, parts []string, flags int, made func() error) (*os.File, error) {
	folder := root
	defer func() {
		if folder != root {
			syscall.Close(folder)
		}
	}()
	for _, part := range parts[:len(parts)-1] {
		next, err := openAt(folder, part, syscall.O_RDONLY|syscall.O_DIRECTORY)
		if errors.Is(err, syscall.ENOENT) && made != nil {
			if err = syscall.Mkdirat(folder, part, 0o700); err == nil {
				if err = made(); err == nil {
					next, err = openAt(folder, part, syscall.O_RDONLY|syscall.O_DIRECTORY)
				}
			}
		}
		if err != nil {
			return nil, err
		}
		if folder != root {
			syscall.Close(folder)
		}
		folder = next
	}
	name := parts[len(parts)-1]
	fd, err := openAt(folder, name, flags)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func openAt(folder int, name string, flags int) (int, error) {
	for {
		fd, err := syscall.Openat(folder, name, flags|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0o600)
		if !errors.Is(err, syscall.EINTR) {
			return fd, err
		}
	}
}

// openFolder opens a folder that the node agent names.
func openFolder(path string) (int, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("%s: %w", path, err)
	}
	return fd, nil
}
