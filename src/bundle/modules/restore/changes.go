package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"clouder.dev/bundle/restore/tree"
)

// Devices that runc gives to every container.
var commonDevices = []tree.Device{{Kind: 'c', Major: 1, Minor: 3}, {Kind: 'c', Major: 1, Minor: 5}, {Kind: 'c', Major: 1, Minor: 7}, {Kind: 'c', Major: 1, Minor: 8}, {Kind: 'c', Major: 1, Minor: 9}, {Kind: 'c', Major: 5, Minor: 0}}

func devicesOf(wanted config) map[tree.Device]bool {
	devices := map[tree.Device]bool{}
	for _, known := range commonDevices {
		devices[known] = true
	}
	for _, listed := range wanted.Linux.Devices {
		if len(listed.Type) == 1 {
			devices[tree.Device{Kind: listed.Type[0], Major: listed.Major, Minor: listed.Minor}] = true
		}
	}
	return devices
}

// applyChanges does to the root file system what the container had done to its own.
func applyChanges(rootfs string, wanted config, a answer) error {
	root, err := os.OpenRoot(rootfs)
	if err != nil {
		return err
	}
	defer root.Close()
	c := tree.Unpacker{Root: root, Devices: devicesOf(wanted)}
	if a.Changes != "" {
		if err := unpackFrom(a.Changes, &c); err != nil {
			return fmt.Errorf("changed files of the checkpoint: %w", err)
		}
	}
	for _, deleted := range a.Deleted {
		if err := c.RemoveDeleted(strings.TrimPrefix(deleted, "/")); err != nil {
			return fmt.Errorf("deleted files of the checkpoint: %w", err)
		}
	}
	return nil
}

func unpackFrom(archive string, c *tree.Unpacker) error {
	file, err := os.OpenFile(archive, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return c.Unpack(file)
}
