package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"
)

const (
	// The kubelet gives a runtime two minutes.
	answerTimeout  = 110 * time.Second
	maxAnswerBytes = 64 << 20
)

// request and answer are of src/api/handler-protocol.ts.
type request struct {
	Version    int    `json:"version"`
	ID         string `json:"id"`
	Bundle     string `json:"bundle"`
	Namespace  string `json:"namespace"`
	Pod        string `json:"pod"`
	PodUID     string `json:"podUid"`
	Container  string `json:"container"`
	Checkpoint string `json:"checkpoint"`
}

type answer struct {
	Version  int      `json:"version"`
	Action   string   `json:"action"`
	ImageDir string   `json:"imageDir"`
	WorkDir  string   `json:"workDir"`
	Changes  string   `json:"changes"`
	Deleted  []string `json:"deleted"`
	Volumes  []volume `json:"volumes"`
	Message  string   `json:"message"`
}

// volume is a volume of the pod that gets its contents back before a container of it is restored.
type volume struct {
	Archive string `json:"archive"`
	Target  string `json:"target"`
	Marker  string `json:"marker"`
	Clear   bool   `json:"clear"`
}

// ask gives the node agent's answer, whole and sound, or an error.
func ask(r request) (answer, error) {
	deadline := time.Now().Add(answerTimeout)
	connection, err := (&net.Dialer{Deadline: deadline}).Dial("unix", socket)
	if err != nil {
		return answer{}, fmt.Errorf("the node agent does not answer: %w", err)
	}
	defer connection.Close()
	if err := connection.SetDeadline(deadline); err != nil {
		return answer{}, err
	}
	line, err := json.Marshal(r)
	if err != nil {
		return answer{}, err
	}
	if _, err := connection.Write(append(line, '\n')); err != nil {
		return answer{}, fmt.Errorf("the node agent cannot be asked: %w", err)
	}
	text, err := bufio.NewReader(io.LimitReader(connection, maxAnswerBytes)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return answer{}, fmt.Errorf("the node agent did not finish its answer: %w", err)
	}
	return readAnswer(text)
}

func readAnswer(text []byte) (answer, error) {
	var a answer
	if len(bytes.TrimSpace(text)) == 0 {
		return a, errors.New("the node agent gave no answer")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&a); err != nil {
		return a, fmt.Errorf("the node agent's answer cannot be read: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return a, errors.New("the node agent's answer has something behind it")
	}
	if a.Version != 1 {
		return a, fmt.Errorf("the node agent speaks version %d, not 1", a.Version)
	}
	switch a.Action {
	case "restore":
		return a, a.checkPaths()
	case "create":
		return a, nil
	case "refuse":
		if a.Message == "" {
			a.Message = "the node agent refused without a reason"
		}
		return a, nil
	}
	return a, fmt.Errorf("the node agent answered %q", a.Action)
}

// checkPaths: all of a restore lies where only root puts it.
func (a answer) checkPaths() error {
	paths := []string{a.ImageDir, a.WorkDir}
	if a.Changes != "" {
		paths = append(paths, a.Changes)
	}
	for _, volume := range a.Volumes {
		paths = append(paths, volume.Archive, volume.Marker)
	}
	for _, path := range paths {
		isOurs := strings.HasPrefix(path, restoreDir+"/") || strings.HasPrefix(path, memoryDir+"/")
		if filepath.Clean(path) != path || !isOurs {
			return fmt.Errorf("the node agent named %q, which is neither below %s nor below %s", path, restoreDir, memoryDir)
		}
	}
	return nil
}
