package tree

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

const attributePrefix = "SCHILY.xattr."

// isKept: marks of overlays and of security modules belong to the node, what a process can set itself travels.
func isKept(name string) bool {
	switch name {
	case "security.capability", "system.posix_acl_access", "system.posix_acl_default":
		return true
	}
	return strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.")
}

// addAttributes puts the extended attributes of an open file or folder into its header.
func addAttributes(file *os.File, header *tar.Header) error {
	self := descriptorPath(file)
	list, err := grown(func(buffer []byte) (int, error) { return syscall.Listxattr(self, buffer) })
	if errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("names of extended attributes: %w", err)
	}
	for name := range bytes.SplitSeq(list, []byte{0}) {
		if !isKept(string(name)) {
			continue
		}
		value, err := grown(func(buffer []byte) (int, error) { return syscall.Getxattr(self, string(name), buffer) })
		if errors.Is(err, syscall.ENODATA) {
			continue
		}
		if err != nil {
			return fmt.Errorf("extended attribute %s: %w", name, err)
		}
		if header.PAXRecords == nil {
			header.PAXRecords = map[string]string{}
		}
		header.PAXRecords[attributePrefix+string(name)] = string(value)
	}
	return nil
}

func hasAttributes(header *tar.Header) bool {
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, attributePrefix) {
			return true
		}
	}
	return false
}

// setAttributes gives an open file or folder the extended attributes of its header.
func setAttributes(file *os.File, header *tar.Header) error {
	for key, value := range header.PAXRecords {
		name, has := strings.CutPrefix(key, attributePrefix)
		if !has || !isKept(name) {
			continue
		}
		if err := syscall.Setxattr(descriptorPath(file), name, []byte(value), 0); err != nil {
			return fmt.Errorf("extended attribute %s: %w", name, err)
		}
	}
	return nil
}

func descriptorPath(file *os.File) string {
	return fmt.Sprintf("/proc/self/fd/%d", file.Fd())
}

// grown asks with a larger buffer as long as the answer does not fit.
func grown(ask func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size *= 4 {
		buffer := make([]byte, size)
		n, err := ask(buffer)
		if errors.Is(err, syscall.ERANGE) && size < 1<<20 {
			continue
		}
		if err != nil {
			return nil, err
		}
		return buffer[:n], nil
	}
}
