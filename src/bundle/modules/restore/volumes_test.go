package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clouder.dev/bundle/restore/tree"
)

// A pod's volume, and the archive of another one.
func volumeScene(t *testing.T) (wanted config, v volume) {
	t.Helper()
	dir := t.TempDir()
	podsDir, sandboxDir = filepath.Join(dir, "pods"), filepath.Join(dir, "sandboxes")
	target := filepath.Join(podsDir, "uid-1/volumes/kubernetes.io~empty-dir/data")
	source := filepath.Join(dir, "source")
	for _, folder := range []string{target, source + "/below"} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(t, source+"/below/file", "of the source")
	put(t, target+"/init", "of an init container")
	var archive bytes.Buffer
	if err := tree.PackFolder(&archive, source, -1); err != nil {
		t.Fatal(err)
	}
	put(t, dir+"/data.tar", archive.String())
	wanted.Annotations = map[string]string{
		"io.kubernetes.cri.sandbox-uid": "uid-1",
		"io.kubernetes.cri.sandbox-id":  "sandbox-1",
	}
	return wanted, volume{Archive: dir + "/data.tar", Target: target, Marker: dir + "/data.volume", Clear: true}
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func contentOf(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(content)
}

func TestAVolumeIsRestoredOnce(t *testing.T) {
	wanted, v := volumeScene(t)
	// The path of a socket has at most 108 bytes, and the folder for tests may have as many.
	t.Chdir(v.Target)
	listener, err := net.Listen("unix", "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := restoreVolumes(wanted, []volume{v}); err != nil {
		t.Fatal(err)
	}
	if contentOf(v.Target+"/below/file") != "of the source" || contentOf(v.Target+"/init") != "" {
		t.Error("it has not what the source had")
	}
	if _, err := os.Lstat(v.Target + "/socket"); err != nil {
		t.Error(err)
	}
	put(t, v.Target+"/below/file", "of a process that runs")
	if err := restoreVolumes(wanted, []volume{v}); err != nil {
		t.Fatal(err)
	}
	if contentOf(v.Target+"/below/file") != "of a process that runs" {
		t.Error("what a process had written is lost")
	}
}

func TestAVolumeThatWasRestoredInPartIsRestoredAgain(t *testing.T) {
	wanted, v := volumeScene(t)
	whole := contentOf(v.Archive)
	put(t, v.Archive, whole[:len(whole)-1024-506])
	if restoreVolumes(wanted, []volume{v}) == nil {
		t.Fatal("a torn archive was taken")
	}
	put(t, v.Archive, whole)
	if err := restoreVolumes(wanted, []volume{v}); err != nil {
		t.Fatal(err)
	}
	if contentOf(v.Target+"/below/file") != "of the source" {
		t.Error("it was not restored")
	}
}

func TestWhatIsSharedWithRunningContainersIsNotCleared(t *testing.T) {
	wanted, v := volumeScene(t)
	v.Clear = false
	if err := restoreVolumes(wanted, []volume{v}); err != nil {
		t.Fatal(err)
	}
	if contentOf(v.Target+"/init") == "" || contentOf(v.Target+"/below/file") == "" {
		t.Error("one of both is gone")
	}
}

func TestOnlyVolumesOfThePodAreTargets(t *testing.T) {
	wanted, v := volumeScene(t)
	shm := filepath.Join(sandboxDir, "sandbox-1/shm")
	if err := os.MkdirAll(shm, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := restoreVolumes(wanted, []volume{{Archive: v.Archive, Target: shm, Marker: v.Marker + "2"}}); err != nil {
		t.Error(err)
	}
	for _, target := range []string{
		"/etc",
		filepath.Dir(v.Target),
		v.Target + "/below",
		v.Target + "/../../kubernetes.io~secret/x",
		strings.Replace(v.Target, "uid-1", "uid-2", 1),
		filepath.Join(sandboxDir, "sandbox-2/shm"),
		filepath.Join(sandboxDir, "sandbox-1"),
	} {
		err := restoreVolumes(wanted, []volume{{Archive: v.Archive, Target: target, Marker: v.Marker + "3"}})
		if err == nil || !strings.Contains(err.Error(), "no volume of the pod") {
			t.Errorf("%s ends with %v", target, err)
		}
	}
}
