package tree

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Clear empties a folder of all but sockets, which no archive has: a process that runs already may listen there.
func Clear(root *os.Root) error {
	names, err := namesOf(root)
	if err != nil {
		return err
	}
	for _, name := range names {
		info, err := root.Lstat(name)
		if err != nil {
			return err
		}
		if info.Mode().Type() == fs.ModeSocket {
			continue
		}
		if info.IsDir() {
			if err := clearBelow(root, name); err != nil {
				return err
			}
		}
		if err := root.Remove(name); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
			return err
		}
	}
	return nil
}

func clearBelow(parent *os.Root, name string) error {
	folder, err := parent.OpenRoot(name)
	if err != nil {
		return err
	}
	defer folder.Close()
	return Clear(folder)
}
