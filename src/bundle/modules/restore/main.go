// Command clouder-restore stands where containerd expects runc, for pods of the RuntimeClass clouder-restore. A
// container whose pod names a checkpoint is restored when the node agent says so; every other call is runc's.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	annotation   = "clouder.dev/restore-checkpoint"
	maxReasonLen = 600
)

// Tests link others.
var (
	runc       = "/usr/local/bin/runc"
	socket     = "/run/clouder/agent/restore.sock"
	restoreDir = "/var/lib/clouder/restore"
	memoryDir  = "/var/lib/clouder/memory"
	podsDir    = "/var/lib/kubelet/pods"
	sandboxDir = "/run/containerd/io.containerd.grpc.v1.cri/sandboxes"
	// One empty file for each container that was restored, and so runs already when it is started. Gone with a reboot,
	// as the containers are.
	markerDir = "/run/clouder/restored"
)

// config is what matters here of an OCI bundle's config.json.
type config struct {
	Annotations map[string]string `json:"annotations"`
	Linux       struct {
		Devices []struct {
			Type  string `json:"type"`
			Major int64  `json:"major"`
			Minor int64  `json:"minor"`
		} `json:"devices"`
	} `json:"linux"`
}

func readConfig(text []byte) (config, error) {
	var read config
	err := json.Unmarshal(text, &read)
	return read, err
}

func main() {
	// A signal at the parent's death is bound to the thread that started the child.
	runtime.LockOSThread()
	if len(os.Args) > 1 && os.Args[1] == fetchCommand {
		if err := fetchPages(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	c, err := parse(os.Args[1:])
	if err == nil {
		err = run(c)
	}
	if err != nil {
		tell(c.log, err)
		os.Exit(1)
	}
}

func run(c call) error {
	switch c.command {
	case "create":
		return create(c)
	case "start":
		if !idPattern.MatchString(c.id) {
			break
		}
		if _, err := os.Lstat(marker(c.id)); err == nil {
			return nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	case "delete":
		if !idPattern.MatchString(c.id) {
			break
		}
		if err := os.Remove(marker(c.id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return passOn()
}

// passOn becomes runc, with the words as they came.
func passOn() error {
	err := syscall.Exec(runc, append([]string{runc}, os.Args[1:]...), os.Environ())
	return fmt.Errorf("%s cannot be started: %w", runc, err)
}

func create(c call) error {
	bundle, err := filepath.Abs(c.bundle)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return err
	}
	wanted, err := readConfig(text)
	if err != nil {
		return fmt.Errorf("%s/config.json cannot be read: %w", bundle, err)
	}
	notes := wanted.Annotations
	if _, isNamed := notes[annotation]; !isNamed || notes["io.kubernetes.cri.container-type"] != "container" {
		return passOn()
	}
	if !idPattern.MatchString(c.id) {
		return fmt.Errorf("%q is no id of a container", c.id)
	}
	r := request{
		Version:    1,
		ID:         c.id,
		Bundle:     bundle,
		Namespace:  notes["io.kubernetes.cri.sandbox-namespace"],
		Pod:        notes["io.kubernetes.cri.sandbox-name"],
		PodUID:     notes["io.kubernetes.cri.sandbox-uid"],
		Container:  notes["io.kubernetes.cri.container-name"],
		Checkpoint: notes[annotation],
	}
	for _, value := range []string{r.Namespace, r.Pod, r.PodUID, r.Container, r.Checkpoint} {
		if value == "" {
			return fmt.Errorf("%s/config.json does not say which pod it is of", bundle)
		}
	}
	a, err := ask(r)
	if err != nil {
		return err
	}
	switch a.Action {
	case "create":
		return passOn()
	case "restore":
		if c.unsupported != "" {
			return fmt.Errorf("%s is not possible with a restore", c.unsupported)
		}
		if err := restore(c, bundle, wanted, a); err != nil {
			return err
		}
		noteRestored(r)
		return nil
	}
	return errors.New(a.Message)
}

func restore(c call, bundle string, wanted config, a answer) error {
	if err := applyChanges(filepath.Join(bundle, "rootfs"), wanted, a); err != nil {
		return err
	}
	if err := restoreVolumes(wanted, a.Volumes); err != nil {
		return err
	}
	if err := os.MkdirAll(a.WorkDir, 0o700); err != nil {
		return err
	}
	// Before the restore, so that none that is killed half-way can run without it.
	if err := os.MkdirAll(markerDir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(marker(c.id), nil, 0o600); err != nil {
		return err
	}
	words := append([]string{}, c.global...)
	words = append(words, "restore")
	var fetching *fetcher
	if a.Pages != nil {
		started, err := startFetcher(c, a)
		if err != nil {
			os.Remove(marker(c.id))
			return fmt.Errorf("the memory of %s cannot be fetched: %w", wanted.Annotations[annotation], err)
		}
		fetching = started
		words = append(words, "--lazy-pages")
	}
	words = append(words, "--detach", "--image-path", a.ImageDir, "--work-path", a.WorkDir, "--bundle", bundle)
	if c.pidFile != "" {
		words = append(words, "--pid-file", c.pidFile)
	}
	if c.consoleSocket != "" {
		words = append(words, "--console-socket", c.consoleSocket)
	}
	if c.noPivot {
		words = append(words, "--no-pivot")
	}
	command := exec.Command(runc, append(words, c.id)...)
	// The container's own, when it has no terminal.
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	// Whoever gave up waiting kills this program; a process must not come to life after that.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Run(); err != nil {
		os.Remove(marker(c.id))
		releaseCgroups(a.WorkDir)
		if fetching != nil {
			fetching.giveUp(c, reason(a.WorkDir), mayHaveRun(a.WorkDir))
		}
		return fmt.Errorf("%s could not be restored: %w%s", wanted.Annotations[annotation], err, reason(a.WorkDir))
	}
	return nil
}

// releaseCgroups unmounts what a CRIU that was killed leaves mounted in its folder: the cgroups of the node, which whoever
// removes the folder would walk into.
func releaseCgroups(workDir string) {
	left, _ := filepath.Glob(filepath.Join(workDir, ".criu.cgyard.*"))
	for _, folder := range left {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Remove(folder)
	}
}

// reason is what CRIU wrote down of errors, in its order: the first is the cause, the others follow from it.
func reason(workDir string) string {
	return logged(filepath.Join(workDir, restoreLog))
}

func errorsIn(text []byte) string {
	found := ""
	for line := range bytes.Lines(text) {
		words := strings.TrimSpace(string(line))
		if !strings.Contains(words, "Error (") || strings.Contains(words, "Restoring FAILED") {
			continue
		}
		if len(found)+len(words) > maxReasonLen {
			break
		}
		found += "\n" + words
	}
	if found == "" {
		return ""
	}
	return ":" + found
}

func marker(id string) string {
	return filepath.Join(markerDir, id)
}

// tell puts an error where containerd looks for runc's, so that it shows in the events of the pod.
func tell(log string, problem error) {
	message := "clouder restore: " + problem.Error()
	fmt.Fprintln(os.Stderr, message)
	if log == "" {
		return
	}
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return
	}
	defer file.Close()
	json.NewEncoder(file).Encode(map[string]string{
		"level": "error",
		"msg":   message,
		"time":  time.Now().UTC().Format(time.RFC3339),
	})
}
