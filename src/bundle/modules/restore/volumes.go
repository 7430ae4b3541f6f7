package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"clouder.dev/bundle/restore/tree"
)

const isRestored = "restored\n"

// restoreVolumes gives the volumes of a pod what they had in them, once: whichever container is restored first.
func restoreVolumes(wanted config, volumes []volume) error {
	for _, v := range volumes {
		if err := v.checkTarget(wanted); err != nil {
			return err
		}
		if err := v.restore(wanted); err != nil {
			return fmt.Errorf("contents of %s: %w", v.Target, err)
		}
	}
	return nil
}

// checkTarget: an emptyDir of this pod, or the shared memory of its sandbox.
func (v volume) checkTarget(wanted config) error {
	uid, sandbox := wanted.Annotations["io.kubernetes.cri.sandbox-uid"], wanted.Annotations["io.kubernetes.cri.sandbox-id"]
	if idPattern.MatchString(uid) {
		name, isBelow := strings.CutPrefix(v.Target, filepath.Join(podsDir, uid, "volumes/kubernetes.io~empty-dir")+"/")
		if isBelow && idPattern.MatchString(name) {
			return nil
		}
	}
	if idPattern.MatchString(sandbox) && v.Target == filepath.Join(sandboxDir, sandbox, "shm") {
		return nil
	}
	return fmt.Errorf("the node agent named %q, which is no volume of the pod", v.Target)
}

// restore leaves alone what was restored before: processes of the pod may have changed it since. One that was killed in
// the middle is done again from the beginning.
func (v volume) restore(wanted config) error {
	marker, err := os.OpenFile(v.Marker, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer marker.Close()
	if err := syscall.Flock(int(marker.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	found, err := io.ReadAll(marker)
	if err != nil || string(found) == isRestored {
		return err
	}
	root, err := os.OpenRoot(v.Target)
	if err != nil {
		return err
	}
	defer root.Close()
	if v.Clear {
		if err := tree.Clear(root); err != nil {
			return err
		}
	}
	if err := unpackFrom(v.Archive, &tree.Unpacker{Root: root, Devices: devicesOf(wanted), Literal: true}); err != nil {
		return err
	}
	if _, err := marker.WriteAt([]byte(isRestored), 0); err != nil {
		return err
	}
	return marker.Sync()
}
